// Relative performance: the same computation as reports/analysis/relative.py, over what is chosen.
import { grouped } from "./data.js";
import { counted, number } from "./format.js";

/** @typedef {import("./data.js").Row} Row */
/** @typedef {{value: number, half: number | null, row: Row}} Held */
/** @typedef {{mode: string, way: string, measure: string, reference: string}} Question */

export const WAYS = {same: "the same settings", best: "each machine's best setting"};
const LEADS = {speed: "is the fastest", dollar: "does most per dollar", joule: "does most per joule"};
const CASE = ["architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
  "cudnn_benchmark", "power_limit"];

/** @param {Row} row @param {string} measure @returns {number | null} */
export function valueOf(row, measure) {
  if (measure === "dollar") return row.dollars_per_million ? 1e6 / row.dollars_per_million : null;
  if (measure === "joule") return row.images_per_joule;
  return row.median_seconds ? row.batch_size / row.median_seconds : null;
}

/** @param {Row} row */
export function halfOf(row) {
  return row.low_seconds == null || row.high_seconds == null ? null : Math.log(row.high_seconds / row.low_seconds) / 2;
}

/** @param {Row} row */
export const netKey = (row) => JSON.stringify([row.architecture, row.input_shape]);

/** @param {string} key */
export function netName(key) {
  const [architecture, shape] = JSON.parse(key);
  const numbers = (shape ?? "").split("x");
  if (numbers.length === 3 && numbers[1] === numbers[2]) return `${architecture} ${numbers[1]} px`;
  return `${architecture} ${shape ?? ""}`.trim();
}

/** The course's nets first, in its order; the others by name. @param {string[]} course @returns {(a: string, b: string) => number} */
export function netOrder(course) {
  const place = (/** @type {string} */ net) => { const found = course.indexOf(JSON.parse(net)[0]); return found < 0 ? course.length : found; };
  return (a, b) => place(a) - place(b) || (netName(a) < netName(b) ? -1 : netName(a) > netName(b) ? 1 : 0);
}

/** @param {Row} row */
export function settingOf(row) {
  const words = [row.precision, row.memory_format, row.compile_mode];
  return [...words.filter((word) => word != null && word !== "contiguous" && word !== "eager"), `b${row.batch_size}`].join(" ");
}

/** @param {(number | null)[]} halves @param {number} count */
function together(halves, count) {
  let sum = 0;
  for (const half of halves) {
    if (half === null) return null;
    sum += half * half;
  }
  return Math.sqrt(sum) / count;
}

/** @param {number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @param {number} log @param {number | null} half */
const interval = (log, half) => ({
  ratio: Math.exp(log), low: half === null ? null : Math.exp(log - half), high: half === null ? null : Math.exp(log + half),
});

/** What is comparable -> system -> the best that it did there. @param {Row[]} rows @param {Question} question */
function heldOf(rows, {mode, way, measure}) {
  /** @type {Map<string, Map<string, Held>>} */
  const found = new Map();
  const measured = rows.filter((row) => row.status === "measured"), predicted = rows.filter((row) => row.status !== "measured" && row.predicted);
  for (const row of [...measured, ...predicted]) {
    if (row.kind !== "net" || row.mode !== mode) continue;
    const value = valueOf(row, measure);
    if (value === null || value === undefined) continue;
    const key = way === "same" ? JSON.stringify(CASE.map((name) => row[name])) : netKey(row);
    const systems = found.get(key) ?? new Map();
    found.set(key, systems);
    const best = systems.get(row.system);
    const stands = best && (row.status === "measured" || best.row.status !== "measured");
    if (!best || (stands && value > best.value)) systems.set(row.system, {value, half: measure === "joule" ? null : halfOf(row), row});
  }
  return found;
}

/** The most systems that share a key; of as many, those that share most keys. @param {Map<string, Map<string, Held>>} held */
function largestGroup(held) {
  const counts = new Map();
  for (const each of held.values()) {
    const name = JSON.stringify([...each.keys()].sort());
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const groups = [...counts.keys()].map((name) => {
    const group = /** @type {string[]} */ (JSON.parse(name));
    let shared = 0;
    for (const [other, count] of counts) if (group.every((system) => JSON.parse(other).includes(system))) shared += count;
    return {group, shared};
  });
  groups.sort((a, b) => b.group.length - a.group.length || b.shared - a.shared || (a.group > b.group ? -1 : 1));
  return groups.length ? groups[0].group : [];
}

/** @param {Map<string, Held>[]} common @param {string[]} group @param {string} wanted */
function referenceOf(common, group, wanted) {
  if (group.includes(wanted)) return wanted;
  const device = group.find((system) => wanted && system.startsWith(`${wanted} `));
  if (device) return device;
  const means = group.map((system) => mean(common.map((each) => Math.log(/** @type {Held} */ (each.get(system)).value))));
  return group[means.indexOf(Math.min(...means))];
}

/** @param {string} system @param {string} base @param {string} net @param {Map<string, Held>[]} cases */
function netRow(system, base, net, cases) {
  const pairs = cases.map((each) => [/** @type {Held} */ (each.get(system)), /** @type {Held} */ (each.get(base))]);
  const log = mean(pairs.map(([own, other]) => Math.log(own.value / other.value)));
  const half = system === base ? 0 : together(pairs.flat().map((held) => held.half), pairs.length);
  const best = pairs.map(([own]) => own).reduce((a, b) => (b.value > a.value ? b : a));
  return {
    system, net, log, half, ...interval(log, half), value: best.value, setting: settingOf(best.row), cases: pairs.length,
    noisy: pairs.filter(([own]) => own.row.noisy).length,
    without: pairs.filter(([own]) => own.half === null).length,
    predicted: pairs.filter(([own]) => own.row.status !== "measured").length,
  };
}

/** @param {Row[]} rows @param {Question} question */
export function relative(rows, question) {
  const held = heldOf(rows, question);
  const group = largestGroup(held);
  const there = [...new Set([...held.values()].flatMap((each) => [...each.keys()]))].sort();
  const common = [...held].filter(([, each]) => group.length && group.every((system) => each.has(system)));
  const base = group.length ? referenceOf(common.map(([, each]) => each), group, question.reference) : "";
  const byNet = grouped(common, ([, each]) => netKey(/** @type {Held} */ (each.get(base)).row));
  const nets = [...byNet].flatMap(([net, keys]) => group.map((system) => netRow(system, base, net, keys.map(([, each]) => each))));
  const table = group.map((system) => {
    const own = nets.filter((row) => row.system === system);
    /** @param {"cases" | "noisy" | "without" | "predicted"} name */
    const sum = (name) => own.reduce((total, row) => total + row[name], 0);
    return {
      system, ...interval(mean(own.map((row) => row.log)), together(own.map((row) => row.half), own.length)),
      nets: own.length, cases: sum("cases"), noisy: sum("noisy"), without: sum("without"), predicted: sum("predicted"),
      setting: own.length === 1 ? own[0].setting : "",
    };
  });
  table.sort((a, b) => b.ratio - a.ratio || (a.system < b.system ? -1 : 1));
  return {table, nets, reference: base, leftOut: there.filter((system) => !group.includes(system)), finding: finding(table, question)};
}

/** The system without which the others share most nets, where that is three times as many.
 * @param {Row[]} rows @param {Question} question @param {{system: string, nets: number}[]} table */
export function widest(rows, question, table) {
  const found = table.length < 3 ? [] : table.map(({system}) => {
    const others = relative(rows.filter((row) => row.system !== system), question).table;
    return {system, nets: others.length === table.length - 1 ? others[0].nets : 0};
  });
  const best = found.reduce((a, b) => (b.nets > a.nets ? b : a), {system: "", nets: 0});
  return table.length && best.nets >= 3 * table[0].nets ? best : null;
}

/** @param {{system: string, ratio: number, nets: number, cases: number, predicted: number}[]} table @param {Question} question */
function finding(table, {mode, way, measure}) {
  if (table.length < 2) return "";
  const [best, second] = table;
  const guessed = table.reduce((sum, row) => sum + row.predicted, 0), all = table.reduce((sum, row) => sum + row.cases, 0);
  return `${best.system} ${LEADS[/** @type {keyof typeof LEADS} */ (measure)]} in ${mode}: ${number(best.ratio / second.ratio)} times `
    + `${second.system}, over the ${counted(best.nets, "net")} that all ${table.length} have measured, `
    + `at ${WAYS[/** @type {keyof typeof WAYS} */ (way)]}.${guessed ? ` Predicted, not measured: ${guessed} of ${all} cases.` : ""}`;
}
