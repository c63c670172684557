// Peak memory of a net by batch: as it was measured, and elsewhere by the line through what was.
import { grouped } from "./data.js";
import { element, paragraph, table } from "./draw.js";
import { counted, octets } from "./format.js";
import { settingOf } from "./relative.js";

/** @typedef {import("./data.js").Row} Row */
const ASKED = 64, MOST_BATCHES = 14, MOST_TOLD = 12;

/** The bytes on the line through the peaks of the least and the largest batch, which is never taken to fall: as
 * bench/prediction/memory.py has it. Null where fewer than two batches are known.
 * @param {Row[]} rows measured @param {number} batch */
export function onLine(rows, batch) {
  const lines = [...grouped(rows, (row) => String(row.compile_mode)).values()].map((own) => {
    const batches = own.map((row) => row.batch_size), least = Math.min(...batches), most = Math.max(...batches);
    const at = (/** @type {number} */ size) => Math.max(...own.filter((row) => row.batch_size === size).map((row) => row.peak_bytes));
    return least === most ? null : at(least) + Math.max(0, (at(most) - at(least)) / (most - least)) * (batch - least);
  });
  const known = lines.filter((line) => line !== null);
  return known.length ? Math.max(...known) : null;
}

/** Of batches what was tried, and the powers of two up to the one that people ask for. @param {Row[]} rows */
export function batchesOf(rows) {
  const tried = rows.filter((row) => row.status !== "skipped").map((row) => row.batch_size);
  const found = new Set(tried);
  for (let batch = 1; batch <= ASKED; batch *= 2) if (batch >= Math.min(...tried)) found.add(batch);
  return [...found].sort((a, b) => a - b).slice(0, MOST_BATCHES);
}

/** Over formats and compile modes: one figure, or from the least to the most. @param {Row[]} rows measured */
function peak(rows) {
  const values = rows.map((row) => row.peak_bytes), [least, most] = [octets(Math.min(...values)), octets(Math.max(...values))];
  return least === most ? least : `${least} to ${most}`;
}

/** What a cell says: the peak, what became of the case, or what the line gives. @param {Row[]} known @param {Row[]} rest @param {number} batch */
function cell(known, rest, batch) {
  const own = known.filter((row) => row.batch_size === batch);
  if (own.length) return peak(own);
  const tried = rest.find((row) => row.batch_size === batch && row.status !== "skipped");
  if (tried) return tried.status.replaceAll("_", " ");
  const guess = onLine(known, batch);
  return guess === null ? null : element("span", {class: "guess"}, `~${octets(guess)}`);
}

/** @param {HTMLElement} place @param {Row[]} rows of one net and mode */
export function viewMemory(place, rows) {
  const measured = rows.filter((row) => row.status === "measured" && row.peak_bytes != null);
  if (!measured.length) return;
  const systems = new Set(measured.map((row) => row.system));
  const batches = batchesOf(rows.filter((row) => systems.has(row.system)));
  const lines = [], told = [];
  for (const [system, own] of grouped(measured, (row) => row.system)) {
    for (const [precision, known] of grouped(own, (row) => row.precision)) {
      const rest = rows.filter((row) => row.system === system && row.precision === precision && row.status !== "measured");
      lines.push([system, precision, ...batches.map((batch) => cell(known, rest, batch))]);
      const most = Math.max(...known.map((row) => row.batch_size));
      told.push(`${precision} on ${system}: measured up to batch ${most}, ${peak(known.filter((row) => row.batch_size === most))} there.`);
    }
  }
  place.append(element("h3", {}, "How much memory, and what fits?"), table(["system", "precision", ...batches.map((batch) => `batch ${batch}`)], lines, "peak memory"));
  for (const text of told.slice(0, MOST_TOLD)) place.append(paragraph(text, "note"));
  for (const row of rows.filter((each) => each.status === "out_of_memory").slice(0, 3)) place.append(paragraph(`${row.system} ran out of memory at batch ${row.batch_size}, ${settingOf(row)}.`, "note"));
  if (told.length > MOST_TOLD) place.append(paragraph(`${counted(told.length - MOST_TOLD, "row")} of the table more.`, "note"));
  place.append(paragraph("~ was not measured: it is the line through the peaks of the least and the largest batch that were. "
    + "Memory is the accelerator's allocator's where there is one, else the whole process's, torch's own included.", "note"));
}
