// Numbers as text, as suites/units.py writes them.

export const UNKNOWN = "\u2013";

/** @param {number | null | undefined} value */
export function number(value) {
  if (value == null || Number.isNaN(value)) return UNKNOWN;
  if (value === 0) return "0";
  for (const [bound, decimals] of [[0.9995, 3], [9.995, 2], [99.95, 1]]) {
    if (Math.abs(value) < bound) return value.toFixed(decimals);
  }
  return Math.round(value).toLocaleString("en-US");
}

/** @param {number | null | undefined} value @param {[number, string][]} units */
function scaled(value, units) {
  if (value == null || Number.isNaN(value)) return UNKNOWN;
  const [factor, unit] = units.find(([each]) => Math.abs(value) >= each * 0.9995) ?? units[units.length - 1];
  return `${number(value / factor)} ${unit}`;
}

/** @param {number | null | undefined} value */
export const seconds = (value) => scaled(value, [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]]);
/** @param {number | null | undefined} value */
export const octets = (value) => scaled(value, [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
/** @param {number | null | undefined} value */
export const flops = (value) => scaled(value, [[1e12, "TFLOP/s"], [1e9, "GFLOP/s"], [1e6, "MFLOP/s"], [1, "FLOP/s"]]);
/** @param {number | null | undefined} value */
export const percent = (value) => (value == null ? UNKNOWN : `${(100 * value).toFixed(1)}%`);

/** @param {number} value @param {number | null} low @param {number | null} high */
export function spread(value, low, high) {
  return number(value) + (low == null || high == null ? "" : ` [${number(low)}, ${number(high)}]`);
}

/** @param {number} count @param {string} noun */
export const counted = (count, noun) => `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;

/** @param {string[]} words @param {number} most */
export function listed(words, most = 3) {
  const shown = words.slice(0, most).join(", ");
  return words.length > most ? `${shown} and ${words.length - most} more` : shown;
}
