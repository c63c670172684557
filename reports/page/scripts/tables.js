// Tables to sort and to take away: Tabulator's.
import { element } from "./draw.js";
import { UNKNOWN } from "./format.js";
import { idOf } from "./data.js";

/** @typedef {import("./data.js").Row} Row */

/** @param {string} column @param {Record<string, [string, number]>} scales */
export function titleOf(column, scales) {
  const words = column.replaceAll("_", " "), scale = scales[column];
  return scale ? `${words.replace(/ ?(seconds|bytes|flops per second|bytes per second)$/, "")} [${scale[0]}]`.trim() : words;
}

/** @param {any} value @param {[string, number] | undefined} scale */
export function shown(value, scale) {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value !== "number") return String(value);
  const scaled = scale ? value * scale[1] : value;
  return Number.isInteger(scaled) && Math.abs(scaled) < 1e9 ? scaled.toLocaleString("en-US") : String(Number(scaled.toPrecision(4)));
}

/** @param {HTMLElement} place @param {string} name @param {string[]} columns @param {Row[]} rows @param {Record<string, [string, number]>} scales */
export function buildTable(place, name, columns, rows, scales) {
  const box = element("div"), data = rows.map((row) => ("id" in row || !columns.includes("id") ? row : {...row, id: idOf(row)}));
  const made = new Tabulator(box, {
    data, layout: "fitData", height: Math.min(520, 80 + 30 * rows.length), renderVertical: "virtual", rowHeight: 30, placeholder: "Nothing of it is chosen.",
    columns: columns.map((column) => ({
      title: titleOf(column, scales), field: column, headerSort: true, maxInitialWidth: 260, sorter: (/** @type {any} */ a, /** @type {any} */ b) => compared(a, b),
      hozAlign: rows.some((row) => typeof row[column] === "number") ? "right" : "left",
      formatter: (/** @type {any} */ cell) => document.createTextNode(shown(cell.getValue(), scales[column])),
    })),
  });
  made.on("tableBuilt", () => box.querySelectorAll(".tabulator-col-sorter-element").forEach((header) => {
    header.setAttribute("tabindex", "0");
    header.addEventListener("keydown", (event) => {
      if (event instanceof KeyboardEvent && event.key === "Enter" && header instanceof HTMLElement) header.click();
    });
  }));
  const tools = element("div", {class: "tools"});
  for (const format of ["csv", "json"]) {
    const button = element("button", {type: "button", "data-take": format}, format.toUpperCase());
    button.addEventListener("click", () => made.download(format, `${name}.${format}`));
    tools.append(button);
  }
  tools.append(element("span", {class: "soft count"}, `${rows.length.toLocaleString("en-US")} rows`));
  place.append(tools, box);
  /** @type {any} */ (place).table = made;
}

/** Unknown comes last. @param {any} a @param {any} b */
export function compared(a, b) {
  if (a == null || b == null) return Number(b == null) - Number(a == null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}
