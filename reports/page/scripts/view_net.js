// One net in detail: curves by batch, what settings buy, memory, its points on the roofline, advice.
import { choose, one } from "./choice.js";
import { apart, curves } from "./curves.js";
import { grouped } from "./data.js";
import { element, lookOf, paragraph, plot, powers, short, table } from "./draw.js";
import { counted, flops, number, seconds } from "./format.js";
import { viewLayers } from "./view_layers.js";
import { viewMemory } from "./view_memory.js";
import { halfOf, netKey, netName, netOrder, settingOf, valueOf } from "./relative.js";

/** @typedef {import("./main.js").Context} Context */
/** @typedef {import("./data.js").Row} Row */
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6F00", "#777777"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon"];
const HEIGHT = 330;

/** @param {HTMLElement} place @param {Context} context */
export function viewNet(place, context) {
  const own = context.rows.filter((row) => row.kind === "net" && row.mode === context.question.mode);
  const nets = [...grouped(own, netKey)].map(([net, rows]) => ({net, systems: new Set(rows.map((row) => row.system)).size, rows}));
  if (!nets.length) return;
  const order = netOrder(context.page.course);
  nets.sort((a, b) => order(a.net, b.net));
  const wanted = nets.find((each) => each.net === one("show"));
  const shown = wanted ?? nets.reduce((a, b) => (b.systems > a.systems || (b.systems === a.systems && b.rows.length > a.rows.length) ? b : a));
  place.append(chooser(nets.slice(0, 400).map((each) => each.net), shown.net));
  const measured = shown.rows.filter((row) => row.status === "measured");
  place.append(element("h3", {}, `${netName(shown.net)}, ${context.question.mode}`));
  advice(place, measured);
  panels(place, [...measured, ...guesses(shown.rows, measured)], "images_per_second", "Images/s", short);
  panels(place, measured, "latency_seconds", "Latency [s]", seconds);
  const pairs = context.pairs.filter((pair) => netKey(pair) === shown.net && pair.mode === context.question.mode);
  if (pairs.length) place.append(element("h3", {}, "What does each setting buy here?"));
  for (const [setting, some] of grouped(pairs, (pair) => pair.setting)) for (const [system, rows] of grouped(some, (pair) => pair.system)) place.append(paragraph(gains(setting, system, rows), "note"));
  viewMemory(place, shown.rows);
  roofline(place, measured, context);
  viewLayers(place, (context.page.rows.layers ?? []).filter((/** @type {Row} */ row) => netKey(row) === shown.net && row.mode === context.question.mode && context.passes(row)));
}

/** Images a second of what was predicted, where measured ones stand beside them. @param {Row[]} rows @param {Row[]} measured */
function guesses(rows, measured) {
  if (!measured.some((row) => row.images_per_second != null)) return [];
  return rows.filter((row) => row.predicted && row.status !== "measured").map((row) => ({...row, images_per_second: row.batch_size / row.median_seconds}));
}

/** @param {string[]} nets @param {string} shown */
function chooser(nets, shown) {
  const select = /** @type {HTMLSelectElement} */ (element("select", {"aria-label": "net shown in detail", id: "show"}));
  for (const net of nets) select.append(new Option(netName(net), net, false, net === shown));
  select.addEventListener("change", () => choose("show", [select.value]));
  return element("label", {}, "Net: ", select);
}

/** @param {string} setting @param {string} system @param {any[]} rows */
function gains(setting, system, rows) {
  const best = [...rows].sort((a, b) => b.gain - a.gain);
  const range = rows.length > 1 ? `from ${number(best[best.length - 1].gain)} to ${number(best[0].gain)} times over ${rows.length} pairs` : `${number(best[0].gain)} times`;
  return `${setting} on ${system}: ${range}, most at batch ${best[0].batch_size}.`;
}

/** What to use, for throughput and for latency. @param {HTMLElement} place @param {Row[]} rows */
function advice(place, rows) {
  const lines = [];
  for (const [system, own] of grouped(rows.filter((row) => row.median_seconds), (row) => row.system)) {
    const fast = [...own].sort((a, b) => Number(valueOf(b, "speed")) - Number(valueOf(a, "speed")));
    const quick = own.filter((row) => row.latency_seconds != null).sort((a, b) => a.latency_seconds - b.latency_seconds);
    lines.push([system, "throughput", settingOf(fast[0]), `${number(valueOf(fast[0], "speed"))} images/s`, sure(fast)]);
    if (quick.length) lines.push([system, "latency", settingOf(quick[0]), seconds(quick[0].latency_seconds), quick.length > 1 ? `next: ${settingOf(quick[1])}, ${seconds(quick[1].latency_seconds)}` : "the only one"]);
  }
  place.append(table(["system", "for", "use", "gives", "how sure"], lines, "advice"));
}

/** @param {Row[]} order the fastest first */
function sure(order) {
  if (order.length < 2) return "the only one measured";
  const [first, second] = order, halves = [halfOf(first), halfOf(second)];
  const ratio = Number(valueOf(first, "speed")) / Number(valueOf(second, "speed"));
  const next = `${number(ratio)} times the next, ${settingOf(second)}`;
  if (halves.includes(null)) return `${next}; no interval`;
  return Math.log(ratio) > Math.hypot(Number(halves[0]), Number(halves[1])) ? `${next}: sure` : `${next}: not sure, within its interval`;
}

/** A panel a system, by batch. @param {HTMLElement} place @param {Row[]} rows @param {string} y @param {string} title @param {(value: number) => string} text */
function panels(place, rows, y, title, text) {
  const systems = [...grouped(rows.filter((row) => row[y] != null), (row) => row.system)].filter(([, own]) => curves(own, y).lines.some((line) => line.rows.length > 1));
  const single = new Set(rows.filter((row) => row[y] != null).map((row) => row.system)).size - systems.length;
  if (!systems.length) return;
  place.append(element("h3", {}, `${title} against batch`));
  const box = element("div", {class: "panels"});
  place.append(box);
  const all = systems.flatMap(([, own]) => own.map((row) => row[y])).filter((value) => value != null && value > 0);
  const range = [Math.log10(Math.min(...all)) - 0.08, Math.log10(Math.max(...all)) + 0.08];
  for (const [system, own] of systems) panel(box, system, own, {y, title, text, range});
  if (single) place.append(paragraph(`${counted(single, "system")} measured each setting at one batch alone: see the table above.`, "note"));
}

/** @param {HTMLElement} box @param {string} system @param {Row[]} rows @param {{y: string, title: string, text: (value: number) => string, range: number[]}} how */
function panel(box, system, rows, {y, title, range}) {
  const {lines, left} = curves(rows, y);
  const place = element("div");
  box.append(place);
  place.append(element("h4", {}, system));
  const traces = lines.map((line, index) => ({
    type: "scatter", mode: "lines+markers", name: line.label, x: line.rows.map((row) => row.batch_size), y: line.rows.map((row) => row[y]),
    line: {color: COLOURS[index], width: 1.5}, marker: {color: COLOURS[index], symbol: line.rows.map((row) => SYMBOLS[index] + (row.predicted ? "-open" : "")), size: 6}, showlegend: false,
    text: line.rows.map((row) => `${line.label} b${row.batch_size}: ${number(row[y])}`), hoverinfo: "text",
  }));
  const batches = [...new Set(rows.map((row) => row.batch_size))].sort((a, b) => a - b);
  const annotations = labels(lines, y, range, batches[batches.length - 1]);
  const values = lines.flatMap((line) => line.rows.map((row) => row[y]));
  plot(place, traces, {height: HEIGHT, margin: {l: 10, r: 150, t: 18, b: 40}, annotations,
    xaxis: {title: {text: "batch size"}, type: "log", tickvals: batches.filter((_, i) => i % Math.ceil(batches.length / 8) === 0), ticktext: batches.filter((_, i) => i % Math.ceil(batches.length / 8) === 0).map(String)},
    yaxis: {type: "log", range, ...powers(values)}}, `${title} against batch on ${system}`);
  if (lines.some((line) => line.rows.some((row) => row.predicted))) place.append(paragraph("Hollow: predicted, not measured.", "note"));
  if (left) place.append(paragraph(`The fastest ${lines.length} of ${lines.length + left} settings; choose settings for the others.`, "note"));
}

/** A name at the end of each line, moved apart. @param {ReturnType<typeof curves>["lines"]} lines @param {string} y @param {number[]} range @param {number} last */
function labels(lines, y, range, last) {
  const height = HEIGHT - 73;
  const places = lines.map((line) => (Math.log10(line.rows[line.rows.length - 1][y]) - range[0]) / (range[1] - range[0]));
  const own = apart(places, 14 / height);
  return lines.map((line, index) => {
    const end = line.rows[line.rows.length - 1];
    return {x: Math.log10(end.batch_size), y: Math.log10(end[y]), text: line.label, showarrow: true, arrowhead: 0, arrowwidth: 0.6, arrowcolor: COLOURS[index], xanchor: "left",
      ax: end.batch_size === last ? 12 : 18, ay: (places[index] - own[index]) * height, font: {size: 11}};
  });
}

/** @param {HTMLElement} place @param {Row[]} rows @param {Context} context */
function roofline(place, rows, context) {
  const own = rows.filter((row) => row.operator_intensity != null && row.flops_per_second != null);
  if (!own.length) return;
  place.append(element("h3", {}, "What bounds it?"));
  for (const [system, some] of grouped(own, (row) => row.system)) {
    const fast = some.reduce((a, b) => (Number(valueOf(b, "speed")) > Number(valueOf(a, "speed")) ? b : a));
    const share = fast.share_of_ceiling ? `, ${(100 * fast.share_of_ceiling).toFixed(0)}% of its roof` : "";
    place.append(paragraph(`${system} at ${settingOf(fast)}: ${fast.bound ?? "bound unknown (no hardware run of this machine)"}, ${flops(fast.flops_per_second)}${share}.`, "note"));
  }
  const best = [...grouped(own, (row) => `${row.system} ${row.precision} ${row.batch_size}`)].map(([, some]) => some.reduce((a, b) => (b.flops_per_second > a.flops_per_second ? b : a)));
  const several = new Set(best.map((row) => row.system)).size > 1;
  const named = best.sort((a, b) => b.flops_per_second - a.flops_per_second).slice(0, 8);
  const traces = [...grouped(best, (row) => row.system)].map(([system, some]) => {
    const look = lookOf(system);
    return {type: "scatter", mode: "markers", name: system, x: some.map((row) => row.operator_intensity), y: some.map((row) => row.flops_per_second),
      marker: {color: look.colour, symbol: look.symbol, size: 8}, hoverinfo: "text", text: some.map((row) => `${system} ${settingOf(row)}: ${flops(row.flops_per_second)}`)};
  });
  const roofs = context.page.roofs.filter((/** @type {any} */ roof) => own.some((row) => row.machine === roof.machine && row.precision === roof.precision)).slice(0, 8);
  const low = Math.min(...own.map((row) => row.operator_intensity)) / 2, high = Math.max(...own.map((row) => row.operator_intensity)) * 2;
  for (const roof of roofs) {
    const slope = roof.bytes_per_second ?? Infinity;
    const x = [low, Math.max(low, roof.flops_per_second / slope), high].sort((a, b) => a - b);
    traces.push(/** @type {any} */ ({type: "scatter", mode: "lines+text", x, y: x.map((each) => Math.min(roof.flops_per_second, each * slope)), name: `${roof.machine} ${roof.precision} roof`,
      line: {color: "#888888", width: 1, dash: "dash"}, hoverinfo: "name", text: ["", "", `${roof.precision} roof`], textposition: "top left"}));
  }
  const y = [...own.map((row) => row.flops_per_second), ...roofs.map((/** @type {any} */ roof) => roof.flops_per_second)];
  const spots = apart(named.map((row) => Math.log10(row.flops_per_second)), (Math.log10(Math.max(...y)) - Math.log10(Math.min(...y)) + 0.3) / 22);
  plot(place, traces, {height: 400, margin: {l: 10, r: 160, t: 30, b: 45}, showlegend: several, legend: {orientation: "h", y: 1.02, yanchor: "bottom"},
    annotations: named.map((row, index) => ({x: Math.log10(row.operator_intensity), y: Math.log10(row.flops_per_second), axref: "pixel", ax: 14, ay: -(spots[index] - Math.log10(row.flops_per_second)) * 340 / (Math.log10(Math.max(...y)) - Math.log10(Math.min(...y)) + 0.3), yanchor: index ? "middle" : "bottom", text: `${index ? "" : `<b>${netName(netKey(row))}</b><br>`}${several ? `${row.system} ` : ""}${settingOf(row)}`, arrowhead: 0, arrowwidth: 0.6, xanchor: "left", font: {size: 11}})),
    xaxis: {title: {text: "FLOPs a byte (eager operators')"}, type: "log", ...powers([low, high])}, yaxis: {title: {text: "FLOP/s"}, type: "log", ...powers(y)}}, "roofline of the net");
}

