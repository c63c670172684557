// What is chosen: kept in the address, so that a view can be sent on.

/** @typedef {import("./data.js").Row} Row */
export const SETTINGS = ["precision", "memory_format", "compile_mode", "threads"];
export const ALL = "*";
const state = new URLSearchParams();
/** @type {(() => void)[]} */
const listeners = [];

export function readAddress() {
  [...state.keys()].forEach((key) => state.delete(key));
  const own = location.hash.slice(1) || document.querySelector("script[data-address]")?.getAttribute("data-address") || "";
  new URLSearchParams(own).forEach((value, key) => state.append(key, value));
}

/** @param {string} key @param {string} [otherwise] */
export const one = (key, otherwise = "") => state.get(key) ?? otherwise;
/** @param {string} key */
export const many = (key) => state.getAll(key);
/** @param {string} key */
export const has = (key) => state.has(key);

/** @param {string} key @param {string[]} values @param {boolean} [tell] */
export function choose(key, values, tell = true) {
  state.delete(key);
  values.forEach((value) => state.append(key, value));
  history.replaceState(null, "", `#${state}`);
  if (tell) listeners.forEach((listener) => listener());
}

/** @param {() => void} listener */
export function onChoice(listener) { listeners.push(listener); }

/** The nets that are chosen where nobody has chosen: the course's; else all, or those that most systems share.
 * @param {Row[]} rows @param {string[]} course */
export function defaultNets(rows, course) {
  /** @type {Map<string, Set<string>>} */
  const systems = new Map();
  for (const row of rows) if (row.kind === "net") (systems.get(row.architecture) ?? systems.set(row.architecture, new Set()).get(row.architecture))?.add(row.system);
  const known = course.filter((name) => systems.has(name));
  if (known.length) return known;
  if (systems.size <= 12) return [ALL];
  return [...systems].sort((a, b) => b[1].size - a[1].size).slice(0, 12).map(([name]) => name);
}

/** Whether a row passes all that is chosen, or all but one axis. A row without an axis passes it.
 * @param {Row} row @param {{systems: Set<string>, nets: Set<string>, settings: Map<string, Set<string>>}} chosen @param {string} [but] */
export function passes(row, chosen, but = "") {
  if (but !== "systems" && chosen.systems.size && row.system != null && !chosen.systems.has(row.system)) return false;
  if (but !== "nets" && chosen.nets.size && row.architecture != null && !chosen.nets.has(row.architecture)) return false;
  if (but === "settings") return true;
  for (const [axis, values] of chosen.settings) if (row[axis] != null && !values.has(String(row[axis]))) return false;
  return true;
}

/** @param {string[]} nets the default ones */
export function chosenNow(nets) {
  const named = many("net").length ? many("net") : nets;
  /** @type {Map<string, Set<string>>} */
  const settings = new Map();
  for (const text of many("setting")) {
    const [axis, value] = text.split("=");
    settings.set(axis, (settings.get(axis) ?? new Set()).add(value));
  }
  return {systems: new Set(many("system")), nets: new Set(named.includes(ALL) ? [] : named), settings};
}
