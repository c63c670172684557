// Figures that Python has drawn: a trace brings its looks, and names the rows and columns of its numbers.
import { MOST_LINES } from "./curves.js";
import { idOf } from "./data.js";
import { element, paragraph, plot } from "./draw.js";
import { buildTable } from "./tables.js";

/** @typedef {import("./data.js").Row} Row */
/** @typedef {import("./main.js").Context} Context */

/** @param {HTMLElement} place @param {Context} context @param {string} section */
export function viewFigures(place, context, section) {
  for (const figure of context.page.figures.filter((/** @type {any} */ each) => each.section === section && (!each.mode || each.mode === context.question.mode))) {
    const rows = context.page.rows[figure.data];
    const own = (figure.rows ?? rows.map((/** @type {Row} */ _, /** @type {number} */ place_) => place_));
    const kept = new Set(own.filter((/** @type {number} */ row) => context.passes(rows[row])));
    if (!kept.size) continue;
    const box = element("div", {class: "drawn", id: figure.id}, element("h3", {}, figure.question));
    place.append(box);
    if (figure.finding && kept.size === own.length) box.append(paragraph(figure.finding));
    if (figure.note) box.append(paragraph(figure.note, "note"));
    if (figure.plot) drawFigure(box, figure, rows, kept);
    numbers(box, figure, [...kept].map((row) => rows[row]), context);
  }
}

/** @param {HTMLElement} box @param {any} figure @param {Row[]} rows @param {Set<number>} kept */
function drawFigure(box, figure, rows, kept) {
  const traces = figure.plot.data.map((/** @type {any} */ trace) => filled(trace, rows, kept)).filter(Boolean);
  const shownOnes = traces.filter((/** @type {any} */ trace) => trace.showlegend !== false);
  const many = traces.filter((/** @type {any} */ trace) => /lines/.test(trace.mode ?? "") && trace.meta?.rows).length > MOST_LINES;
  const drawn = many ? traces.filter((/** @type {any} */ trace) => !trace.meta?.band).map((/** @type {any} */ trace) => ({...trace, mode: trace.mode.replace("lines+", "")})) : traces;
  const layout = {...figure.plot.layout, height: figure.plot.layout.height ?? 420, showlegend: shownOnes.length > 1 && !many};
  plot(box, drawn, layout, figure.question);
  if (many) box.append(paragraph("Too many lines to read: their points, names on hover. Choose fewer machines or settings.", "note"));
}

/** @param {any} trace @param {Row[]} rows @param {Set<number>} kept */
export function filled(trace, rows, kept) {
  const meta = trace.meta ?? {};
  if (!meta.rows) return trace;
  const own = meta.rows.filter((/** @type {number} */ row) => kept.has(row)).map((/** @type {number} */ row) => rows[row]);
  if (!own.length) return null;
  const column = (/** @type {string} */ name) => own.map((/** @type {Row} */ row) => (name === "id" ? row.id ?? idOf(row) : row[name]));
  if (meta.band) return {...trace, x: [...column(meta.x), ...column(meta.x).reverse()], y: [...column(meta.high), ...column(meta.low).reverse()]};
  const found = {...trace, x: column(meta.x), y: column(meta.y)};
  if (meta.text) found.text = column(meta.text);
  if (meta.low) {
    const along = meta.across ? found.x : found.y;
    const length = (/** @type {string} */ bound, /** @type {number} */ sign) => column(bound).map((/** @type {any} */ value, /** @type {number} */ i) => (value == null ? 0 : sign * (value - along[i])));
    found[meta.across ? "error_x" : "error_y"] = {type: "data", symmetric: false, thickness: 1, array: length(meta.high, 1), arrayminus: length(meta.low, -1)};
  }
  return found;
}

/** @param {HTMLElement} box @param {any} figure @param {Row[]} rows @param {Context} context */
function numbers(box, figure, rows, context) {
  const details = /** @type {HTMLDetailsElement} */ (element("details", {class: "numbers"}, element("summary", {}, "the numbers")));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) buildTable(details, figure.id, figure.columns, rows, context.page.scales);
  });
  box.append(details);
}

/** @param {HTMLElement} place @param {Context} context */
export function viewCases(place, context) {
  buildTable(place, "cases", context.page.table_columns, context.page.rows.cases.filter(context.passes), context.page.scales);
}
