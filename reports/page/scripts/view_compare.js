// Two systems, net by net: what both have measured, sorted, with intervals; above it what else differs.
import { choose, one } from "./choice.js";
import { geometricMean, quantile } from "./curves.js";
import { element, lookOf, paragraph, plot, powers, table } from "./draw.js";
import { counted, number, spread } from "./format.js";
import { netName, relative } from "./relative.js";

/** @typedef {import("./main.js").Context} Context */
const MOST_DOTS = 40;

/** @param {HTMLElement} place @param {Context} context */
export function viewCompare(place, context) {
  const systems = [...new Set(context.rows.filter((row) => row.kind === "net" && row.status === "measured" && row.mode === context.question.mode).map((row) => row.system))];
  if (systems.length < 2) return;
  const a = systems.includes(one("a")) ? one("a") : systems[0];
  const b = systems.includes(one("b")) && one("b") !== a ? one("b") : /** @type {string} */ (systems.find((system) => system !== a));
  place.append(element("p", {}, picker("a", systems, a), " against ", picker("b", systems, b)));
  const rows = context.rows.filter((row) => row.system === a || row.system === b);
  const found = relative(rows, {...context.question, reference: b});
  differing(place, context, a, b);
  if (found.table.length < 2) return void place.append(paragraph(`${a} and ${b} have no net in common here${context.question.way === "same" ? " in the same settings; try each machine's best setting" : ""}.`));
  const nets = found.nets.filter((row) => row.system === a).sort((x, y) => x.ratio - y.ratio);
  const mean = /** @type {any} */ (found.table.find((row) => row.system === a));
  const faster = nets.filter((row) => row.ratio > 1).length;
  const ends = nets.length > 1 ? `; from ${netName(nets[0].net)} (${number(nets[0].ratio)}) to ${netName(nets[nets.length - 1].net)} (${number(nets[nets.length - 1].ratio)})` : "";
  place.append(paragraph(`${a} does ${spread(mean.ratio, mean.low, mean.high)} times what ${b} does in ${context.question.mode}: more for ${faster.toLocaleString("en-US")} of ${counted(nets.length, "net")}${ends}.`));
  if (nets.length > MOST_DOTS) histogram(place, nets, a, b); else dots(place, nets, a, b);
  const lines = [...nets].reverse().slice(0, 60).map((row) => {
    const other = /** @type {any} */ (found.nets.find((each) => each.system === b && each.net === row.net));
    return [netName(row.net), spread(row.ratio, row.low, row.high), `${number(row.value)} (${row.setting})`, `${number(other.value)} (${other.setting})`];
  });
  place.append(table(["net", `${a} / ${b}`, `${a}, best images/s`, `${b}, best images/s`], lines, "ratios net by net"));
  if (nets.length > lines.length) place.append(paragraph(`The first ${lines.length} of ${nets.length}.`, "note"));
}

/** @param {string} key @param {string[]} systems @param {string} value */
function picker(key, systems, value) {
  const select = /** @type {HTMLSelectElement} */ (element("select", {"aria-label": `system ${key}`, id: `pick-${key}`}));
  for (const system of systems) select.append(new Option(system, system, false, system === value));
  select.addEventListener("change", () => choose(key, [select.value]));
  return select;
}

/** @param {HTMLElement} place @param {Context} context @param {string} a @param {string} b */
function differing(place, context, a, b) {
  const values = (/** @type {string} */ system, /** @type {any} */ fact) => [...new Set((context.page.files_of[system] ?? []).map((/** @type {number} */ file) => fact.values[file]))].join(", ");
  const rows = context.page.facts.map((/** @type {any} */ fact) => [fact.name, values(a, fact), values(b, fact)]).filter((/** @type {string[]} */ row) => row[1] !== row[2]);
  if (!rows.length) return;
  const box = element("details", {}, element("summary", {}, `${counted(rows.length, "fact")} of their environments differ`), table(["fact", a, b], rows, "environments"));
  place.append(box);
}

/** @param {HTMLElement} place @param {any[]} nets @param {string} a @param {string} b */
function dots(place, nets, a, b) {
  const look = lookOf(a);
  const bars = nets.some((row) => row.low != null) ? {type: "data", symmetric: false, array: nets.map((row) => (row.high ?? row.ratio) - row.ratio), arrayminus: nets.map((row) => row.ratio - (row.low ?? row.ratio))} : undefined;
  plot(place, [{type: "scatter", mode: "markers", x: nets.map((row) => row.ratio), y: nets.map((row) => netName(row.net)), error_x: bars, marker: {color: look.colour, symbol: look.symbol, size: 9},
    text: nets.map((row) => `${netName(row.net)}: ${spread(row.ratio, row.low, row.high)}`), hoverinfo: "text", showlegend: false}],
  {height: 90 + 26 * nets.length, margin: {l: 10, r: 20, t: 10, b: 45}, yaxis: {ticksuffix: "  "}, xaxis: {title: {text: `${a}, ${b} = 1`}, type: "log", ...powers([...nets.map((row) => row.ratio), 1])},
    shapes: [{type: "line", x0: 1, x1: 1, y0: 0, y1: 1, yref: "paper", line: {color: "#999999", dash: "dot"}}]}, "ratios net by net");
}

/** @param {HTMLElement} place @param {any[]} nets @param {string} a @param {string} b */
function histogram(place, nets, a, b) {
  const logs = nets.map((row) => Math.log2(row.ratio)), low = Math.floor(Math.min(...logs)), high = Math.ceil(Math.max(...logs));
  const tickvals = Array.from({length: high - low + 1}, (_, place) => low + place);
  plot(place, [{type: "histogram", x: logs, marker: {color: lookOf(a).colour}, nbinsx: 40, hoverinfo: "x+y", showlegend: false}],
    {height: 300, margin: {l: 10, r: 20, t: 10, b: 45}, bargap: 0.05, yaxis: {title: {text: "nets"}}, xaxis: {title: {text: `${a}, ${b} = 1`}, range: [low, high], tickvals, ticktext: tickvals.map((value) => number(2 ** value))}}, "distribution of ratios");
  const sorted = nets.map((row) => row.ratio);
  place.append(paragraph(`Half of the nets lie between ${number(quantile(sorted, 0.25))} and ${number(quantile(sorted, 0.75))}, the geometric mean is ${number(geometricMean(sorted))}.`, "note"));
}
