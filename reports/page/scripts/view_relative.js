// The answer: who is faster, over all nets and net by net; and the best setting of each net.
import { choose, one } from "./choice.js";
import { geometricMean, quantile } from "./curves.js";
import { grouped } from "./data.js";
import { LEGEND, barMarks, element, lookOf, paragraph, plot, powers, table } from "./draw.js";
import { counted, listed, number, spread } from "./format.js";
import { halfOf, netKey, netName, netOrder, relative, settingOf, valueOf, widest } from "./relative.js";

/** @typedef {import("./main.js").Context} Context */
const MOST_NETS = 16;

/** @param {HTMLElement} place @param {Context} context */
export function viewRelative(place, context) {
  const question = {...context.question, reference: context.page.reference};
  const found = relative(context.rows, question);
  if (!found.table.length) return place.append(paragraph(nothing(context), "note"));
  if (found.finding) place.append(paragraph(found.finding));
  else place.append(paragraph(`${found.table[0].system} shares no net with another system in ${question.mode}, as it is chosen: `
    + "what it does itself is below.", "note"));
  if (found.leftOut.length) {
    const why = question.way === "same" ? "in the same settings; try each machine's best setting" : "; choose other nets";
    place.append(paragraph(`Not among them: ${listed(found.leftOut, 4)}: no net in common ${why}.`, "note"));
  }
  const without = widest(context.rows, question, found.table);
  if (without) place.append(paragraph(`Without ${without.system} the others share ${counted(without.nets, "net")}: choose the others alone to compare them over these.`, "note"));
  if (found.table.length > 1) {
    overview(place, found, question.measure);
    place.append(element("ul", {class: "legend"}, ...LEGEND.map(([kind, text]) => element("li", {}, element("i", {class: kind}), text))));
    byNet(place, found);
  }
}

/** @param {Context} context */
function nothing({question}) {
  const why = {speed: "was measured", dollar: "has a price (--price MACHINE=USD_PER_HOUR)", joule: "has its joules counted"};
  return `Nothing of what is chosen ${why[/** @type {keyof typeof why} */ (question.measure)]} in ${question.mode}.`;
}

/** @param {HTMLElement} place @param {ReturnType<typeof relative>} found @param {string} measure */
function overview(place, found, measure) {
  const rows = [...found.table].reverse();
  const traces = rows.map((row) => ({
    type: "bar", orientation: "h", y: [row.system], x: [row.ratio], ...barMarks([row], lookOf(row.system).colour),
    error_x: row.low === null ? undefined : {type: "data", symmetric: false, array: [/** @type {number} */ (row.high) - row.ratio], arrayminus: [row.ratio - row.low]},
    text: [`${spread(row.ratio, row.system === found.reference ? null : row.low, row.high)}`], textposition: "outside", cliponaxis: false,
    hovertext: [`${row.system}: ${counted(row.nets, "net")}, ${counted(row.cases, "case")}${row.noisy ? `, ${row.noisy} disturbed` : ""}${row.setting ? `, ${row.setting}` : ""}`],
    hoverinfo: "text", showlegend: false,
  }));
  const words = {speed: "speed", dollar: "images a dollar", joule: "images a joule"}[measure];
  const layout = {height: 70 + 44 * rows.length, margin: {l: 10, r: 110, t: 5, b: 45}, barmode: "overlay",
    xaxis: {title: {text: `${words}, ${found.reference} = 1`}, rangemode: "tozero"}, yaxis: {ticksuffix: "  "}};
  plot(place, traces, layout, "relative performance, a bar a machine");
}

/** A group of bars a net; of many nets the distribution of their ratios. @param {HTMLElement} place @param {ReturnType<typeof relative>} found */
function byNet(place, found) {
  const order = found.table.map((row) => row.system);
  const nets = [...grouped(found.nets, (row) => row.net)];
  place.append(element("h3", {}, "Net by net"));
  if (nets.length > MOST_NETS) return distribution(place, found, order);
  const names = nets.map(([net]) => net).reverse();
  const traces = [...order].reverse().map((system) => {
    const rows = names.map((net) => /** @type {any} */ (found.nets.find((row) => row.net === net && row.system === system)));
    return {
      type: "bar", orientation: "h", name: system, y: names.map(netName), x: rows.map((row) => row.ratio), ...barMarks(rows, lookOf(system).colour),
      width: undefined, customdata: names, text: rows.map((row) => number(row.ratio)), textposition: "outside", cliponaxis: false,
      hovertext: rows.map((row) => `${system}: ${number(row.value)} images/s at ${row.setting}; opens the net`), hoverinfo: "text",
    };
  });
  const layout = {height: 110 + 24 * names.length * (order.length + 0.6), margin: {l: 10, r: 50, t: 30, b: 45}, bargap: 0.25,
    xaxis: {title: {text: `${found.reference} = 1`}, rangemode: "tozero"}, yaxis: {ticksuffix: "  "},
    legend: {orientation: "h", y: 1.02, yanchor: "bottom", traceorder: "reversed"}};
  const box = plot(place, traces, layout, "relative performance net by net");
  /** @type {any} */ (box).on("plotly_click", (/** @type {any} */ event) => opened(event.points[0].customdata));
  place.append(paragraph("A bar opens its net.", "note"));
}

/** @param {string} net */
function opened(net) {
  choose("show", [net]);
  document.getElementById("net")?.scrollIntoView();
}

/** @param {HTMLElement} place @param {ReturnType<typeof relative>} found @param {string[]} order */
function distribution(place, found, order) {
  const shown = order.filter((system) => system !== found.reference);
  const traces = shown.map((system) => {
    const values = found.nets.filter((row) => row.system === system).map((row) => row.ratio).sort((a, b) => a - b);
    const at = [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => quantile(values, share));
    return {type: "box", orientation: "h", name: system, y: [system], lowerfence: [at[0]], q1: [at[1]], median: [at[2]], q3: [at[3]],
      upperfence: [at[4]], marker: {color: lookOf(system).colour}, line: {color: lookOf(system).colour}, showlegend: false};
  });
  const values = found.nets.map((row) => row.ratio);
  plot(place, traces, {height: 100 + 50 * shown.length, margin: {l: 10, r: 20, t: 10, b: 45}, yaxis: {ticksuffix: "  "},
    xaxis: {title: {text: `${found.reference} = 1; whiskers hold nine nets in ten`}, type: "log", ...powers(values)}}, "distribution over nets");
  for (const system of shown) {
    const own = found.nets.filter((row) => row.system === system).sort((a, b) => a.ratio - b.ratio);
    const ends = [own[own.length - 1], own[0]].map((row) => `${netName(row.net)} ${number(row.ratio)}`);
    place.append(paragraph(`${system}: from ${ends[1]} to ${ends[0]} times, geometric mean ${number(geometricMean(own.map((row) => row.ratio)))}.`, "note"));
  }
}

/** @param {HTMLElement} place @param {Context} context */
export function viewBest(place, context) {
  const rows = context.rows.filter((row) => row.kind === "net" && row.status === "measured" && row.mode === context.question.mode && row.median_seconds);
  if (!rows.length) return;
  const groups = [...grouped(rows, (row) => JSON.stringify([row.architecture, row.input_shape, row.system]))];
  const best = groups.map(([, own]) => own.reduce((a, b) => (Number(valueOf(b, "speed")) > Number(valueOf(a, "speed")) ? b : a)));
  const order = netOrder(context.page.course);
  best.sort((a, b) => (order(netKey(a), netKey(b)) || Number(valueOf(b, "speed")) - Number(valueOf(a, "speed"))));
  const most = 40;
  const lines = best.slice(0, most).map((row) => {
    const link = element("button", {type: "button", class: "link"}, netName(netKey(row)));
    link.addEventListener("click", () => opened(netKey(row)));
    const value = Number(valueOf(row, "speed")), half = halfOf(row);
    const bound = row.bound ? `${row.bound}${row.share_of_ceiling ? `, ${(100 * row.share_of_ceiling).toFixed(0)}% of its roof` : ""}` : null;
    return [link, row.system, settingOf(row), spread(value, half === null ? null : value * Math.exp(-half), half === null ? null : value * Math.exp(half)),
      bound, beside(row, context)];
  });
  place.append(table(["net", "system", "best setting", "images/s", "what bounds it", "published"], lines, "best setting of each net"));
  if (best.length > most) place.append(paragraph(`${most} of ${best.length.toLocaleString("en-US")} rows; choose fewer nets for the others.`, "note"));
}

/** @param {import("./data.js").Row} row @param {Context} context */
function beside(row, context) {
  const known = context.page.published.filter((/** @type {any} */ each) => each.architecture === row.architecture
    && each.mode === row.mode && each.pixels === Number((row.input_shape ?? "").split("x").pop()));
  if (!known.length) return null;
  const most = known.reduce((/** @type {any} */ a, /** @type {any} */ b) => (b.images_per_second > a.images_per_second ? b : a));
  return `${number(Number(valueOf(row, "speed")) / most.images_per_second)} times the ${number(most.images_per_second)} of ${most.machine}, ${most.what}`;
}

/** The mode that has something. @param {Context["all"]} rows */
export function modeNow(rows) {
  const modes = [...new Set(rows.filter((row) => row.kind === "net" && row.status === "measured").map((row) => row.mode))];
  const wanted = one("mode", "inference");
  return modes.includes(wanted) || !modes.length ? wanted : modes[0];
}
