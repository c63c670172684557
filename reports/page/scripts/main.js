// The page: unpacks its data, and draws the sections for what is chosen.
import { choose, chosenNow, defaultNets, has, many, onChoice, one, passes, readAddress } from "./choice.js";
import { buildChoosers } from "./chooser.js";
import { rowsOf, unpacked } from "./data.js";
import { fitSheet, lookOf, looks, repaint } from "./draw.js";
import { viewCompare } from "./view_compare.js";
import { viewCases, viewFigures } from "./view_figures.js";
import { viewNet } from "./view_net.js";
import { modeNow, viewBest, viewRelative } from "./view_relative.js";
import { viewSettings, viewSize } from "./view_settings.js";

/** @typedef {import("./data.js").Row} Row */
/** @typedef {{page: any, all: Row[], rows: Row[], pairs: Row[], otherPairs: Row[], question: import("./relative.js").Question, passes: (row: Row) => boolean}} Context */

/** A section's id -> what draws it. @type {Record<string, (place: HTMLElement, context: Context, section: string) => void>} */
const VIEWS = {relative: viewRelative, best: viewBest, net: viewNet, settings: viewSettings, size: viewSize, compare: viewCompare, cases: viewCases};

/** @type {Map<string, boolean>} section -> whether what it shows is of before a choice */
const stale = new Map();
/** @type {Context} */
let context;
/** @type {string[]} */
let nets = [];

/** @param {any} page @returns {Context} */
function contextNow(page) {
  const all = page.rows.cases, chosen = chosenNow(nets);
  const own = (/** @type {Row} */ row) => passes(row, chosen);
  const rows = all.filter(own);
  const pairs = (page.rows.pairs ?? []).filter((/** @type {Row} */ row) => passes(row, chosen, "nets"));
  return {page, all, rows, pairs: pairs.filter(own), otherPairs: pairs.filter((/** @type {Row} */ row) => !own(row)), passes: own,
    question: {mode: modeNow(rows.length ? rows : all), way: one("way", page.way), measure: one("per", "speed"), reference: page.reference}};
}

/** @param {HTMLDetailsElement} section */
function draw(section) {
  const body = section.querySelector(".body");
  if (!(body instanceof HTMLElement) || !section.open || !stale.get(section.id) || (section.id === "cases" && !("Tabulator" in globalThis))) return;
  stale.set(section.id, false);
  body.style.minHeight = `${body.offsetHeight}px`;
  body.replaceChildren();
  (VIEWS[section.id] ?? viewFigures)(body, context, section.id);
  body.style.minHeight = "";
  if (!body.childElementCount) body.append(Object.assign(document.createElement("p"), {className: "note", textContent: "Nothing of what is chosen."}));
}

/** @param {any} page */
function drawAll(page) {
  context = contextNow(page);
  document.querySelectorAll("[data-choice]").forEach((button) => {
    const [key, value] = /** @type {HTMLElement} */ (button).dataset.choice?.split("=") ?? [];
    const now = {mode: context.question.mode, way: context.question.way, per: context.question.measure}[key];
    button.setAttribute("aria-pressed", String(now === value));
  });
  document.querySelectorAll("[data-system]").forEach((card) => {
    const name = /** @type {HTMLElement} */ (card).dataset.system ?? "";
    /** @type {HTMLElement} */ (card).style.setProperty("--own", lookOf(name).colour);
    card.toggleAttribute("hidden", many("system").length > 0 && !many("system").includes(name));
  });
  document.querySelectorAll("details.section").forEach((section) => {
    stale.set(section.id, true);
    if (section instanceof HTMLDetailsElement && near(section)) draw(section);
  });
}

/** @param {Element} section */
const near = (section) => { const box = section.getBoundingClientRect(); return box.top < innerHeight + 600 && box.bottom > -600; };

/** @param {string} name */
function theme(name) {
  document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  if (button) button.textContent = name === "dark" ? "light page" : "dark page";
}

/** @param {any} page */
function listen(page) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  theme(one("theme", dark ? "dark" : "light"));
  document.getElementById("theme")?.addEventListener("click", () => {
    choose("theme", [document.documentElement.dataset.theme === "dark" ? "light" : "dark"], false);
    theme(one("theme"));
    repaint();
  });
  document.querySelectorAll("[data-choice]").forEach((button) => button.addEventListener("click", () => {
    const [key, value] = /** @type {HTMLElement} */ (button).dataset.choice?.split("=") ?? [];
    choose(key, [value]);
  }));
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting && entry.target instanceof HTMLDetailsElement) draw(entry.target);
  }), {rootMargin: "600px"});
  document.querySelectorAll("details.section").forEach((section) => {
    if (!(section instanceof HTMLDetailsElement)) return;
    section.addEventListener("toggle", () => {
      const usual = section.dataset.open === "yes";
      choose("fold", [...many("fold").filter((id) => id !== section.id), ...(section.open === usual ? [] : [section.id])], false);
      draw(section);
    });
    seen.observe(section);
  });
  document.querySelectorAll("nav a").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    if (innerWidth < 1024) document.querySelector("nav details")?.removeAttribute("open");
    go(link.getAttribute("href")?.slice(1) ?? "");
  }));
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details.section").forEach((section) => { if (section instanceof HTMLDetailsElement) draw(section); });
    fitSheet(true);
  });
  addEventListener("afterprint", () => fitSheet(false));
  onChoice(() => drawAll(page));
}

/** To a section, once those above it have their heights. @param {string} id */
function go(id) {
  for (const section of document.querySelectorAll("details.section")) {
    if (!(section instanceof HTMLDetailsElement)) continue;
    if (section.id === id) section.open = true;
    draw(section);
    if (section.id === id) return section.scrollIntoView();
  }
}

function fold() {
  const folded = many("fold");
  document.querySelectorAll("details.section").forEach((section) => {
    if (section instanceof HTMLDetailsElement) section.open = (section.dataset.open === "yes") !== folded.includes(section.id);
  });
}

/** Scripts of others are compressed, too. @param {string} id */
async function run(id) {
  const script = document.createElement("script");
  script.textContent = await unpacked(id);
  document.head.append(script);
}

async function start() {
  readAddress();
  const [text] = await Promise.all([unpacked("payload"), run("plotly")]);
  const page = JSON.parse(text);
  page.rows = Object.fromEntries(Object.entries(page.data).map(([name, columns]) => [name, rowsOf(/** @type {any} */ (columns))]));
  for (const [system, look] of Object.entries(page.looks)) looks.set(system, /** @type {any} */ (look));
  nets = defaultNets(page.rows.cases, page.course);
  if (innerWidth < 1024) document.querySelector("nav details")?.removeAttribute("open");
  fold();
  listen(page);
  drawAll(page);
  document.documentElement.dataset.ready = "yes";
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); // the first charts are seen before tables and search are there
  await run("vendor");
  document.querySelectorAll("details.section").forEach((section) => { if (section instanceof HTMLDetailsElement && near(section)) draw(section); });
  const again = page.rows.cases.length ? buildChoosers(page.rows.cases, nets) : () => {};
  addEventListener("hashchange", () => { readAddress(); again(); fold(); if (has("theme")) theme(one("theme")); drawAll(page); });
  document.documentElement.dataset.chosen = "yes";
}

start();
