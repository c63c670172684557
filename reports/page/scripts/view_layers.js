// Where the time of a step goes, layer by layer, as `dlhw layers` has timed it.
import { grouped } from "./data.js";
import { element, lookOf, paragraph, plot } from "./draw.js";
import { percent, seconds } from "./format.js";
import { settingOf } from "./relative.js";

/** @typedef {import("./data.js").Row} Row */
const MOST_LAYERS = 15;

/** @param {Row} row */
const layerName = (row) => [row.layer, row.kind, row.phase === "forward" ? "" : row.phase].filter(Boolean).join(" ");

/** How many of the longest take half of the step; null where all together do not. @param {Row[]} order the longest first */
export function halfOfStep(order) {
  let sum = 0;
  for (const [place, row] of order.entries()) {
    sum += row.share;
    if (sum >= 0.5) return place + 1;
  }
  return null;
}

/** @param {HTMLElement} place @param {Row[]} rows of one net and mode */
export function viewLayers(place, rows) {
  if (!rows.length) return;
  place.append(element("h3", {}, "Where does its time go?"));
  for (const [, own] of grouped(rows, (row) => `${row.system} ${row.case}`)) {
    const order = [...own].sort((a, b) => b.seconds - a.seconds), [first] = order, half = halfOfStep(order);
    const some = half === null ? "" : `; ${half} of ${order.length} take half of the step`;
    place.append(paragraph(`${settingOf(first)} on ${first.system}: ${layerName(first)} takes ${percent(first.share)}, ${seconds(first.seconds)}${some}.`, "note"));
    bars(place, order.slice(0, MOST_LAYERS).reverse());
    if (order.length > MOST_LAYERS) place.append(paragraph(`The longest ${MOST_LAYERS} of ${order.length}.`, "note"));
  }
}

/** @param {HTMLElement} place @param {Row[]} rows the longest last */
function bars(place, rows) {
  plot(place, [{type: "bar", orientation: "h", y: rows.map(layerName), x: rows.map((row) => 100 * row.share), marker: {color: lookOf(rows[0].system).colour},
    text: rows.map((row) => row.bound ?? ""), textposition: "auto", hovertext: rows.map((row) => `${layerName(row)}: ${percent(row.share)}, ${seconds(row.seconds)}`), hoverinfo: "text", showlegend: false}],
  {height: 90 + 24 * rows.length, margin: {l: 10, r: 20, t: 5, b: 45}, xaxis: {title: {text: "% of the step"}, rangemode: "tozero"}, yaxis: {ticksuffix: "  "}}, "time by layer");
}
