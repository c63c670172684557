// Which lines a panel shows, and where their names stand.
import { grouped } from "./data.js";
import { settingOf } from "./relative.js";

/** @typedef {import("./data.js").Row} Row */
export const MOST_LINES = 8;

/** Lines by setting, ascending by batch; of too many those that reach most. What was predicted alone is no line. @param {Row[]} rows @param {string} y */
export function curves(rows, y) {
  const several = new Set(rows.map((row) => row.threads)).size > 1;
  const name = (/** @type {Row} */ row) => settingOf({...row, batch_size: "*"}).replace(/ ?b\*$/, "") + (several ? ` t${row.threads}` : "");
  const groups = [...grouped(rows.filter((row) => row[y] != null), name)];
  const lines = groups.map(([label, own]) => ({label, rows: [...own].sort((a, b) => a.batch_size - b.batch_size)}))
    .filter((line) => line.rows.some((row) => !row.predicted));
  const best = (/** @type {{rows: Row[]}} */ line) => Math.max(...line.rows.filter((row) => !row.predicted).map((row) => row.images_per_second ?? row.samples_per_second ?? 0));
  lines.sort((a, b) => best(b) - best(a));
  return {lines: lines.slice(0, MOST_LINES), left: Math.max(0, lines.length - MOST_LINES)};
}

/** Moves labels apart: places in [0, 1], each at least `gap` from the next, as near to their own as can be.
 * @param {number[]} places @param {number} gap */
export function apart(places, gap) {
  const order = places.map((place, index) => ({place, index})).sort((a, b) => a.place - b.place);
  /** @type {{members: number[], middle: number}[]} */
  const blocks = [];
  for (const {place, index} of order) {
    blocks.push({members: [index], middle: place});
    while (blocks.length > 1) {
      const [lower, upper] = blocks.slice(-2);
      const reach = (lower.members.length + upper.members.length) / 2 * gap;
      if (upper.middle - lower.middle >= reach) break;
      const members = [...lower.members, ...upper.members];
      const middle = members.reduce((sum, each, rank) => sum + places[each] - (rank - (members.length - 1) / 2) * gap, 0) / members.length;
      blocks.splice(-2, 2, {members, middle});
    }
  }
  const found = [...places];
  for (const {members, middle} of blocks) {
    members.forEach((index, rank) => { found[index] = middle + (rank - (members.length - 1) / 2) * gap; });
  }
  return found;
}

/** @param {number[]} sorted @param {number} share */
export function quantile(sorted, share) {
  const place = (sorted.length - 1) * share, low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** @param {number[]} values */
export const geometricMean = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
