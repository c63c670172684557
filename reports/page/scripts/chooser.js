// Choosing by search, with counts beside each choice: Tom Select's.
import { ALL, SETTINGS, choose, chosenNow, many, passes } from "./choice.js";

/** @typedef {import("./data.js").Row} Row */

/** @param {Row[]} rows @param {string[]} nets the default ones */
export function buildChoosers(rows, nets) {
  const known = rows.filter((row) => row.kind === "net");
  /** @type {any[]} */
  const controls = [];
  const parts = /** @type {[string, string, (row: Row) => string[], string][]} */ ([
    ["choose-system", "system", (row) => [row.system], "all machines"],
    ["choose-net", "net", (row) => [row.architecture, ALL], usual(nets)],
    ["choose-setting", "setting", (row) => SETTINGS.filter((axis) => row[axis] != null).map((axis) => `${axis}=${row[axis]}`), "all settings"],
  ]);
  for (const [id, key, valuesOf, placeholder] of parts) {
    const count = () => counts(known, nets, key, valuesOf);
    let found = count();
    const select = /** @type {HTMLSelectElement} */ (document.getElementById(id));
    const control = new TomSelect(select, {
      plugins: ["remove_button"], placeholder, maxOptions: 100, hidePlaceholder: true, refreshThrottle: 0, closeAfterSelect: false, searchField: ["text"],
      options: [...found.keys()].map((value) => ({value, text: value === ALL ? "all nets" : value.replace("=", " ").replaceAll("_", " ")})),
      items: many(key),
      sortField: [{field: "$score"}, {field: "$order"}],
      render: {
        option: (/** @type {any} */ data, /** @type {(text: string) => string} */ escape) => `<div>${escape(data.text)} <span class="soft">${(found.get(data.value) ?? 0).toLocaleString("en-US")}</span></div>`,
        item: (/** @type {any} */ data, /** @type {(text: string) => string} */ escape) => `<div>${escape(data.text)}</div>`,
      },
      onItemAdd: (/** @type {string} */ value) => { if (key === "net") alone(control, value); control.setTextboxValue(""); },
      onChange: () => choose(key, control.items),
      onDropdownOpen: () => { found = count(); control.clearCache?.("option"); control.refreshOptions(false); },
    });
    control.control_input.setAttribute("aria-label", placeholder);
    controls.push([control, key]);
  }
  return () => controls.forEach(([control, key]) => control.setValue(many(key), true));
}

/** What is shown where no net is chosen. @param {string[]} nets */
function usual(nets) {
  if (nets.includes(ALL)) return "all nets";
  return `${nets.length} nets at first; search others`;
}

/** All nets and one net are not chosen together. @param {any} control @param {string} value */
function alone(control, value) {
  for (const item of [...control.items]) if ((value === ALL) !== (item === ALL)) control.removeItem(item, true);
}

/** How many cases a choice would bring, all other choices being as they are.
 * @param {Row[]} rows @param {string[]} nets @param {string} key @param {(row: Row) => string[]} valuesOf */
function counts(rows, nets, key, valuesOf) {
  const chosen = chosenNow(nets);
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const row of rows) {
    const there = passes(row, chosen, `${key}s`) ? 1 : 0;
    for (const value of valuesOf(row)) found.set(value, (found.get(value) ?? 0) + there);
  }
  return key === "net" ? new Map([[ALL, found.get(ALL) ?? 0], ...[...found].filter(([value]) => value !== ALL).sort((a, b) => a[0].localeCompare(b[0]))]) : found;
}
