// Plots and small pieces of the page.

/** @typedef {{colour: string, symbol: string}} Look */
/** @type {Map<string, Look>} */
export const looks = new Map();
const CONFIG = {responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: false};
/** @type {Map<HTMLElement, () => void>} */
const drawn = new Map();

/** @param {string} system */
export const lookOf = (system) => looks.get(system) ?? {colour: "#999999", symbol: "circle"};

/** @param {string} tag @param {Record<string, string>} [attributes] @param {...(Node | string)} inside @returns {HTMLElement} */
export function element(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

/** @param {string} text @param {string} [kind] */
export const paragraph = (text, kind = "finding") => element("p", {class: kind}, text);

/** @param {string[]} head @param {(string | number | Node | null)[][]} rows @param {string} label */
export function table(head, rows, label) {
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {scope: "col"}, text)))));
  const body = element("tbody");
  for (const row of rows) {
    body.append(element("tr", {}, ...row.map((value) => element("td", typeof value === "number" ? {class: "number"} : {},
      value === null ? "\u2013" : value instanceof Node ? value : typeof value === "number" ? value.toLocaleString("en-US") : value))));
  }
  made.append(body);
  return element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": label}, made);
}

function inks() {
  const look = getComputedStyle(document.documentElement);
  return {ink: look.getPropertyValue("--ink").trim(), line: look.getPropertyValue("--line").trim()};
}

/** @param {any} layout */
export function themed(layout) {
  const {ink, line} = inks();
  const found = {...layout, font: {color: ink, family: "system-ui, sans-serif", size: 13}, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest"};
  for (const key of Object.keys(found)) {
    if (/^[xy]axis/.test(key)) found[key] = {...found[key], gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true};
  }
  for (const axis of ["xaxis", "yaxis"]) found[axis] ??= {gridcolor: line, zerolinecolor: line};
  return found;
}

/** @param {HTMLElement} place @param {any[]} traces @param {any} layout @param {string} label */
export function plot(place, traces, layout, label) {
  const box = element("div", {class: "plot", role: "img", "aria-label": label});
  place.append(element("figure", {}, box));
  const width = place.clientWidth || innerWidth, shape = fitted(layout, traces, width);
  box.style.height = `${shape.height ?? 360}px`;
  const paint = () => Plotly.react(box, traces, themed(shape), CONFIG);
  drawn.set(box, paint);
  paint();
  return box;
}

/** Others' boxes that are painted again with the theme. @param {HTMLElement} box @param {() => void} paint */
export function keep(box, paint) { drawn.set(box, paint); }

const SHEET = 680; // pixels that A4 and US letter have between a browser's own margins

/** Charts are drawn for the window, and no window event tells them of the sheet. @param {boolean} printed */
export function fitSheet(printed) {
  for (const box of drawn.keys()) if (box.isConnected) Plotly.relayout(box, printed ? {width: Math.min(box.clientWidth, SHEET)} : {width: null, autosize: true});
}

export function repaint() {
  for (const [box, paint] of drawn) if (box.isConnected) paint(); else drawn.delete(box);
}

const NARROW = 480, LETTER = 6.5;

/** On a phone: names of bars and titles of axes in several lines, and room for a legend that stands in as many.
 * @param {any} layout @param {any[]} traces @param {number} width */
export function fitted(layout, traces, width) {
  if (width >= NARROW) return layout;
  const found = {...layout, xaxis: titled(layout.xaxis, width * 0.8), yaxis: titled(layout.yaxis, (layout.height ?? 360) * 0.8)};
  const names = [...new Set(traces.flatMap((trace) => (/** @type {any[]} */ (trace.y ?? [])).filter((value) => typeof value === "string")))];
  if (names.length) found.yaxis = {...found.yaxis, tickvals: names, ticktext: names.map((name) => wrapped(name, width * 0.3 / LETTER)), tickfont: {size: 11}, ticksuffix: " "};
  const inLegend = layout.showlegend === false || !layout.legend ? 0 : traces.filter((trace) => trace.showlegend !== false && trace.name).length;
  if (inLegend > 1) found.height = (layout.height ?? 360) + 20 * inLegend;
  return found;
}

/** @param {any} axis @param {number} room in pixels */
const titled = (axis, room) => (axis?.title?.text ? {...axis, title: {...axis.title, text: wrapped(axis.title.text, room / (LETTER + 2)), font: {size: 12}}} : axis);

/** In lines of at most so many letters, broken at blanks where there are any. @param {string} text @param {number} most */
export function wrapped(text, most) {
  /** @type {string[]} */
  const lines = [], length = Math.max(1, Math.floor(most));
  for (const word of text.split(" ").flatMap((each) => each.match(new RegExp(`.{1,${length}}`, "gsu")) ?? [""])) {
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + 1 + word.length <= most) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("<br>");
}

/** Ticks of a logarithmic axis that read as a person says them. @param {number[]} values */
export function powers(values) {
  const known = values.filter((value) => value > 0);
  const ends = [Math.log10(Math.min(...known)), Math.log10(Math.max(...known))];
  const low = Math.floor(ends[0]), high = Math.ceil(ends[1]), decades = ends[1] - ends[0];
  const steps = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : decades > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const found = [];
  for (let power = low; power <= high; power += 1) for (const step of steps) found.push(step * 10 ** power);
  return {tickvals: found, ticktext: found.map(short)};
}

/** @param {number} value */
export function short(value) {
  for (const [factor, prefix] of /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])) {
    if (value >= factor) return `${Number((value / factor).toPrecision(3))}${prefix}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** Looks of marks: predicted is hollow, without interval thin, disturbed hatched.
 * @param {{cases: number, noisy: number, without: number, predicted: number}[]} rows @param {string} colour */
export function barMarks(rows, colour) {
  return {
    width: rows.map((row) => (row.without === row.cases ? 0.4 : 0.72)),
    marker: {
      color: rows.map((row) => (row.predicted ? "rgba(0,0,0,0)" : colour)), line: {color: colour, width: 1.5},
      pattern: {shape: rows.map((row) => (row.noisy * 2 >= row.cases && row.noisy ? "/" : "")), size: 7, fgcolor: "#ffffff", bgcolor: colour},
    },
  };
}

export const LEGEND = [["full", "measured here, with its 95 % interval"], ["thin", "imported: no interval"],
  ["hatched", "half of its cases or more were disturbed"], ["hollow", "predicted"]];
