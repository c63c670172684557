// What each setting buys over all chosen nets, and throughput against the size of a net.
import { quantile, geometricMean } from "./curves.js";
import { grouped } from "./data.js";
import { element, lookOf, paragraph, plot, powers, short } from "./draw.js";
import { counted, listed, number } from "./format.js";
import { netKey, netName, settingOf, valueOf } from "./relative.js";

/** @typedef {import("./main.js").Context} Context */
const MOST_POINTS = 150, MOST_SYSTEMS = 8, MOST_MARKS = 400;

/** @param {HTMLElement} place @param {Context} context */
export function viewSettings(place, context) {
  const pairs = context.pairs.filter((pair) => pair.mode === context.question.mode);
  const systems = [...new Set(pairs.map((pair) => pair.system))];
  const told = element("ul", {class: "found"});
  for (const [, own] of grouped(pairs, (pair) => pair.setting)) {
    for (const [, rows] of grouped(own, (pair) => pair.system)) {
      told.append(element("li", {}, element("b", {}, named(rows[0])), `: ${sentence(rows)}`));
    }
  }
  const there = new Set(pairs.map(named)), others = context.otherPairs.filter((pair) => pair.mode === context.question.mode && !there.has(named(pair)));
  for (const [name, rows] of grouped(others, named)) told.append(element("li", {class: "soft"}, `${name}, of nets that are not chosen: ${sentence(rows)}`));
  if (told.children.length) place.append(told);
  if (!pairs.length) return;
  const shown = systems.slice(0, MOST_SYSTEMS);
  const traces = shown.flatMap((system) => [...grouped(pairs.filter((pair) => pair.system === system), (pair) => pair.setting)]
    .map(([setting, rows]) => strip(system, setting, rows)));
  const settings = new Set(pairs.map((pair) => `${pair.system} ${pair.setting}`)).size;
  plot(place, traces, {height: 90 + 46 * settings, margin: {l: 10, r: 20, t: 10, b: 45}, showlegend: false, yaxis: {ticksuffix: "  "},
    xaxis: {title: {text: "speed-up, all else equal"}, type: "log", ...powers(pairs.map((pair) => pair.gain))},
    shapes: [{type: "line", x0: 1, x1: 1, y0: 0, y1: 1, yref: "paper", line: {color: "#999999", dash: "dot"}}]}, "speed-up of each setting");
  if (systems.length > shown.length) place.append(paragraph(`${shown.length} of ${systems.length} systems are drawn.`, "note"));
  place.append(paragraph("Pairs of cases that differ in nothing else, against fp32, contiguous, eager or the fewest threads. Boxes hold half of the pairs, whiskers nine in ten; names on hover.", "note"));
}

/** @param {import("./data.js").Row} pair */
const named = (pair) => `${pair.setting} on ${pair.system}`;

/** @param {any[]} rows pairs of one setting on one system */
export function sentence(rows) {
  const nets = [...grouped(rows, netKey)].map(([net, own]) => ({net, gain: geometricMean(own.map((pair) => pair.gain))}));
  nets.sort((a, b) => b.gain - a.gain);
  const up = nets.filter((each) => each.gain > 1), down = nets.filter((each) => each.gain < 1).reverse();
  const told = (/** @type {typeof nets} */ some) => listed(some.map((each) => `${netName(each.net)} (${number(each.gain)})`), 3);
  const sure = rows.some((pair) => pair.gain_low != null)
    ? ` ${rows.filter((pair) => pair.gain_low > 1).length} of ${counted(rows.length, "pair")} surely faster, ${rows.filter((pair) => pair.gain_high != null && pair.gain_high < 1).length} surely slower.` : "";
  return `${number(geometricMean(nets.map((each) => each.gain)))} times over ${counted(nets.length, "net")}; `
    + `faster for ${up.length}${up.length ? `: ${told(up)}` : ""}; slower for ${down.length}${down.length ? `: ${told(down)}` : ""}.${sure}`;
}

/** @param {string} system @param {string} setting @param {any[]} rows */
function strip(system, setting, rows) {
  const name = `${setting}, ${system}`, {colour} = lookOf(system);
  const values = rows.map((pair) => pair.gain).sort((a, b) => a - b);
  if (rows.length > MOST_POINTS) {
    const at = [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => quantile(values, share));
    return {type: "box", orientation: "h", y: [name], lowerfence: [at[0]], q1: [at[1]], median: [at[2]], q3: [at[3]], upperfence: [at[4]],
      name, line: {color: colour}, marker: {color: colour}};
  }
  return {type: "box", orientation: "h", x: rows.map((pair) => pair.gain), y: rows.map(() => name), name, boxpoints: "all", jitter: 0.5,
    pointpos: 0, line: {color: colour, width: 1}, fillcolor: "rgba(0,0,0,0)", marker: {color: colour, size: 5, opacity: 0.7},
    text: rows.map((pair) => `${netName(netKey(pair))} b${pair.batch_size}: ${number(pair.gain)} times`), hoverinfo: "text"};
}

/** @param {HTMLElement} place @param {Context} context */
export function viewSize(place, context) {
  const rows = context.rows.filter((row) => row.kind === "net" && row.status === "measured" && row.mode === context.question.mode && row.parameters && row.median_seconds);
  const best = [...grouped(rows, (row) => JSON.stringify([row.architecture, row.input_shape, row.system]))]
    .map(([, own]) => own.reduce((a, b) => (Number(valueOf(b, "speed")) > Number(valueOf(a, "speed")) ? b : a)));
  const flops = best.length > 0 && best.every((row) => row.forward_flops_per_image);
  const size = (/** @type {any} */ row) => (flops ? row.forward_flops_per_image : row.parameters);
  if (new Set(best.map((row) => netKey(row))).size < 3) return;
  const groups = [...grouped(best, (row) => row.system)].slice(0, MOST_SYSTEMS);
  const many = best.length > MOST_MARKS;
  const traces = groups.flatMap(([system, own]) => /** @type {any[]} */ (many ? bands(system, own, size) : [points(system, own, size)]));
  const sizes = best.map(size), speeds = best.map((row) => Number(valueOf(row, "speed")));
  plot(place, traces, {height: 460, margin: {l: 10, r: 20, t: 10, b: 45}, legend: {orientation: "h", y: 1.02, yanchor: "bottom"},
    xaxis: {title: {text: flops ? "FLOPs an image, forward" : "parameters"}, type: "log", ...powers(sizes)},
    yaxis: {title: {text: "images/s at its best setting"}, type: "log", ...powers(speeds)}}, "throughput against the size of the net");
  place.append(paragraph(many ? "Too many nets for points: the middle of each size, and the band that holds half of them." : "A point is a net at its best setting, its name on hover.", "note"));
}

/** @param {string} system @param {any[]} rows @param {(row: any) => number} size */
function points(system, rows, size) {
  const look = lookOf(system);
  return {type: "scatter", mode: "markers", name: system, x: rows.map(size), y: rows.map((row) => valueOf(row, "speed")),
    marker: {color: look.colour, symbol: look.symbol, size: 9}, hoverinfo: "text",
    text: rows.map((row) => `${netName(netKey(row))} on ${system}: ${number(valueOf(row, "speed"))} images/s at ${settingOf(row)}, ${short(row.parameters)} parameters`)};
}

/** @param {string} system @param {any[]} rows @param {(row: any) => number} size */
function bands(system, rows, size) {
  const bins = [...grouped(rows, (row) => String(Math.round(Math.log10(size(row)) * 4)))].filter(([, own]) => own.length > 2)
    .map(([bin, own]) => ({x: 10 ** (Number(bin) / 4), values: own.map((row) => Number(valueOf(row, "speed"))).sort((a, b) => a - b)}))
    .sort((a, b) => a.x - b.x);
  const at = (/** @type {number} */ share) => bins.map((bin) => quantile(bin.values, share));
  const {colour, symbol} = lookOf(system), x = bins.map((bin) => bin.x);
  return [{type: "scatter", x: [...x, ...[...x].reverse()], y: [...at(0.75), ...at(0.25).reverse()], fill: "toself", fillcolor: colour, opacity: 0.15,
    line: {width: 0}, hoverinfo: "skip", showlegend: false}, {type: "scatter", mode: "lines+markers", name: system, x, y: at(0.5), line: {color: colour}, marker: {color: colour, symbol, size: 8}}];
}

