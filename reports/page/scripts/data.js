// The page's data: columns, compressed; unpacked in the browser into rows.

/** @typedef {Record<string, any>} Row */
/** @typedef {{codes: number[], texts: string[]} | any[]} Column */

/** @param {string} id @returns {Promise<string>} The text of a compressed script element. */
export async function unpacked(id) {
  const text = /** @type {HTMLElement} */ (document.getElementById(id)).textContent ?? "";
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** @param {Record<string, Column>} columns @returns {Row[]} */
export function rowsOf(columns) {
  const names = Object.keys(columns);
  const plain = names.map((name) => {
    const column = columns[name];
    return Array.isArray(column) ? column : column.codes.map((code) => (code < 0 ? null : column.texts[code]));
  });
  const count = plain.length ? plain[0].length : 0;
  return Array.from({length: count}, (_, place) => {
    /** @type {Row} */
    const row = {};
    names.forEach((name, index) => { row[name] = plain[index][place]; });
    return row;
  });
}

/** An id is long, and made of what is there anyway. @param {Row} row */
export function idOf(row) {
  const words = [row.operation, row.variant, row.size, row.architecture, row.mode,
    row.batch_size == null ? null : `b${row.batch_size}`, row.precision, row.memory_format, row.compile_mode, row.device,
    row.threads == null ? null : `t${row.threads}`, row.cudnn_benchmark === "on" ? "cudnn_benchmark" : null,
    row.power_limit == null ? null : `${row.power_limit}W`];
  return words.filter((word) => word != null).join("-");
}

/** @template T @param {T[]} rows @param {(row: T) => string} key @returns {Map<string, T[]>} */
export function grouped(rows, key) {
  const found = new Map();
  for (const row of rows) {
    const name = key(row);
    const group = found.get(name);
    if (group) group.push(row); else found.set(name, [row]);
  }
  return found;
}
