"use strict";
// One data set, one set of filters: every plot and table shows the rows that pass.
const page = JSON.parse(document.getElementById("payload").textContent);
for (const figure of page.figures) {
  figure.rows ??= Object.values(page.data[figure.data])[0].codes?.map((_, row) => row)
    ?? Object.values(page.data[figure.data])[0].map((_, row) => row);
}
const MOST_TRACES = 60, MOST_ROWS = 200;
const DASH = "\u2013";
const state = new Map(new URLSearchParams(location.hash.slice(1)));
const whole = new Set();  // tables that are shown with all their rows

function cell(set, column, row) {
  if (column === "id") return composed(set, row);
  const found = page.data[set][column];
  if (found === undefined) return null;
  if (Array.isArray(found)) return found[row];
  const code = found.codes[row];
  return code < 0 ? null : found.texts[code];
}

// An id is long, and made of what is there anyway.
function composed(set, row) {
  const words = ["operation", "variant", "size", "architecture", "mode"].map((name) => cell(set, name, row));
  const batch = cell(set, "batch_size", row), threads = cell(set, "threads", row);
  words.push(batch === null ? null : `b${batch}`);
  for (const name of ["precision", "memory_format", "compile_mode", "device"]) words.push(cell(set, name, row));
  words.push(threads === null ? null : `t${threads}`);
  const watts = cell(set, "power_limit", row);
  if (cell(set, "cudnn_benchmark", row) === "on") words.push("cudnn_benchmark");
  words.push(watts === null ? null : `${watts}W`);
  return words.filter((word) => word !== null).join("-");
}

function passes(set, row) {
  return page.keys.every((key) => {
    const wanted = state.get(key);
    const own = wanted ? cell(set, key, row) : null;
    return !wanted || own === null || own === wanted;
  });
}

function options(key) {
  const found = new Set();
  for (const set of Object.values(page.data)) {
    const column = set[key];
    if (column && column.texts) column.texts.forEach((text) => found.add(text));
  }
  return [...found];
}

function buildFilters() {
  const form = document.getElementById("filters");
  for (const key of page.keys) {
    const values = options(key);
    if (values.length < 2) continue;
    const label = document.createElement("label");
    label.append(key.replaceAll("_", " "));
    const select = document.createElement("select");
    select.name = key;
    select.append(new Option("all", ""));
    values.forEach((value) => select.append(new Option(value, value)));
    select.value = state.get(key) ?? "";
    if (select.selectedIndex < 0) select.value = "";
    select.addEventListener("change", () => { choose(key, select.value); });
    label.append(select);
    form.append(label);
  }
  const reset = document.createElement("button");
  reset.type = "button";
  reset.textContent = "show all";
  reset.addEventListener("click", () => {
    page.keys.forEach((key) => state.delete(key));
    form.querySelectorAll("select").forEach((select) => { select.value = ""; });
    remember();
    draw();
  });
  form.append(reset);
}

function choose(key, value) {
  if (value) state.set(key, value); else state.delete(key);
  remember();
  draw();
}

function remember() {
  history.replaceState(null, "", "#" + new URLSearchParams([...state]).toString());
}

// Plots: a trace brings its looks, and names the rows and columns of its numbers.

function filled(trace, set) {
  const meta = trace.meta || {};
  if (!meta.rows) {
    const own = ["machine", "precision"].every((key) => !state.get(key) || !meta[key] || meta[key] === state.get(key));
    return own ? trace : null;
  }
  const rows = meta.rows.filter((row) => passes(set, row));
  if (!rows.length) return null;
  const column = (name) => rows.map((row) => cell(set, name, row));
  if (meta.heat) return {...trace, ...heat(rows, set, meta)};
  if (meta.band) {
    return {...trace, x: [...column(meta.x), ...column(meta.x).reverse()],
            y: [...column(meta.high), ...column(meta.low).reverse()]};
  }
  const found = {...trace, x: column(meta.x), y: column(meta.y)};
  if (meta.text) found.text = column(meta.text);
  if (meta.low) {
    const along = meta.across ? found.x : found.y;
    const length = (bound, sign) => column(bound).map((value, i) => value === null ? 0 : sign * (value - along[i]));
    found[meta.across ? "error_x" : "error_y"] = {
      type: "data", symmetric: false, thickness: 1, array: length(meta.high, 1), arrayminus: length(meta.low, -1),
    };
  }
  return found;
}

function heat(rows, set, meta) {
  const xs = [...new Set(rows.map((row) => cell(set, meta.x, row)))].sort((a, b) => +a.slice(1) - +b.slice(1));
  const ys = [...new Set(rows.map((row) => cell(set, meta.y, row)))].sort();
  const sums = new Map();
  for (const row of rows) {
    const place = JSON.stringify([cell(set, meta.x, row), cell(set, meta.y, row)]);
    const [sum, count] = sums.get(place) ?? [0, 0];
    sums.set(place, [sum + cell(set, meta.z, row), count + 1]);
  }
  const mean = (x, y) => { const found = sums.get(JSON.stringify([x, y])); return found ? found[0] / found[1] : null; };
  return {x: xs, y: ys, z: ys.map((y) => xs.map((x) => mean(x, y)))};
}

function themed(layout) {
  const look = getComputedStyle(document.documentElement);
  const ink = look.getPropertyValue("--ink").trim(), line = look.getPropertyValue("--line").trim();
  const axis = (own) => ({...own, gridcolor: line, zerolinecolor: line, linecolor: line});
  return {...layout, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis), font: {color: ink, family: "system-ui, sans-serif"},
          paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"};
}

function drawPlot(figure) {
  const place = document.querySelector(`#${CSS.escape(figure.id)} .plot`);
  if (!place || !figure.plot) return;
  const traces = figure.plot.data.map((trace) => filled(trace, figure.data)).filter((trace) => trace !== null);
  for (const trace of traces) if (trace.name && trace.name.length > 48) trace.name = trace.name.slice(0, 47) + "\u2026";
  const withData = traces.filter((trace) => trace.meta && trace.meta.rows && !trace.meta.band);
  const shown = traces.slice(0, 2 * MOST_TRACES);
  const said = place.parentElement.querySelector(".limit");
  said.textContent = !withData.length ? "Nothing passes the filters."
    : traces.length > shown.length ? `${MOST_TRACES} of ${withData.length} lines are shown: filters bring the others.` : "";
  const layout = themed({...figure.plot.layout, showlegend: withData.length > 1 && withData.length <= 20});
  Plotly.react(place, shown, layout, {responsive: true, displaylogo: false, showSendToCloud: false});
}

// Tables: the same numbers, to be sorted, copied and taken away.

const sorting = new Map();

function shownRows(figure) {
  const rows = figure.rows.filter((row) => passes(figure.data, row));
  const order = sorting.get(figure.id);
  if (!order) return rows;
  const value = (row) => cell(figure.data, order.column, row);
  const compare = (a, b) => {
    const first = value(a), second = value(b);
    if (first === null || second === null) return (first === null) - (second === null);
    return (typeof first === "number" ? first - second : String(first).localeCompare(String(second))) * order.sign;
  };
  return [...rows].sort(compare);
}

function title(column) {
  const scale = page.scales[column];
  const words = column.replaceAll("_", " ");
  return scale ? `${words.replace(/ ?(seconds|bytes|per second|flops per second|bytes per second)$/, "")} [${scale[0]}]`.trim() : words;
}

function shownValue(column, value) {
  if (value === null || value === undefined) return DASH;
  if (typeof value !== "number") return value;
  const scaled = page.scales[column] ? value * page.scales[column][1] : value;
  return Number.isInteger(scaled) && Math.abs(scaled) < 1e9 ? scaled.toLocaleString("en") : String(Number(scaled.toPrecision(4)));
}

function drawTable(figure) {
  const place = document.querySelector(`#${CSS.escape(figure.id)} details`);
  if (!place || !place.open) return;
  const rows = shownRows(figure);
  const few = whole.has(figure.id) ? rows : rows.slice(0, MOST_ROWS);
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const column of figure.columns) {
    const order = sorting.get(figure.id);
    const sign = order && order.column === column ? order.sign : 0;
    const header = document.createElement("th");
    header.scope = "col";
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : sign < 0 ? "descending" : "none");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.column = column;
    button.textContent = title(column) + (sign > 0 ? " \u25b2" : sign < 0 ? " \u25bc" : "");
    button.addEventListener("click", () => {
      sorting.set(figure.id, {column, sign: sign > 0 ? -1 : 1});
      drawTable(figure);
      place.querySelector(`[data-column="${CSS.escape(column)}"]`).focus();
    });
    header.append(button);
    head.append(header);
  }
  const body = table.createTBody();
  for (const row of few) {
    const line = body.insertRow();
    for (const column of figure.columns) {
      const value = cell(figure.data, column, row), own = line.insertCell();
      own.textContent = shownValue(column, value);
      if (typeof value === "number") own.className = "number";
    }
  }
  place.querySelector(".scroll").replaceChildren(table);
  const count = place.querySelector(".count");
  count.textContent = `${few.length} of ${rows.length} rows`;
  const more = place.querySelector(".more");
  more.hidden = few.length === rows.length;
}

function taken(figure, format) {
  const rows = shownRows(figure);
  const values = rows.map((row) => figure.columns.map((column) => cell(figure.data, column, row)));
  if (format === "json") {
    return JSON.stringify(values.map((row) => Object.fromEntries(row.map((value, i) => [figure.columns[i], value]))), null, 1);
  }
  const text = (value) => value === null ? "" : String(value);
  if (format === "csv") {
    const quoted = (value) => /[",\n]/.test(text(value)) ? `"${text(value).replaceAll('"', '""')}"` : text(value);
    return [figure.columns, ...values].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }
  const escaped = (value) => text(value).replaceAll("|", "\\|").replaceAll("\n", " ");
  const line = (row) => `| ${row.map(escaped).join(" | ")} |`;
  return [line(figure.columns), line(figure.columns.map(() => "---")), ...values.map(line)].join("\n") + "\n";
}

async function take(figure, format, button) {
  const text = taken(figure, format);
  if (format === "markdown") {
    const words = button.textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { save(text, `${figure.id}.md`, "text/markdown"); }
    setTimeout(() => { button.textContent = words; }, 1500);
    return;
  }
  save(text, `${figure.id}.${format}`, format === "csv" ? "text/csv" : "application/json");
}

function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function buildTable(figure) {
  const place = document.querySelector(`#${CSS.escape(figure.id)} details`);
  if (!place) return;
  place.addEventListener("toggle", () => drawTable(figure));
  place.querySelector(".more").addEventListener("click", () => { whole.add(figure.id); drawTable(figure); });
  place.querySelectorAll("[data-take]").forEach((button) => {
    button.addEventListener("click", () => take(figure, button.dataset.take, button));
  });
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").textContent = name === "dark" ? "light page" : "dark page";
}

function draw() {
  page.figures.forEach(drawTable);
  page.figures.forEach((figure) => { if (visible.has(figure.id)) drawPlot(figure); else stale.add(figure.id); });
}

// A plot is drawn when it comes into sight: a page of thirty opens as fast as one of three.
const visible = new Set(), stale = new Set(page.figures.map((figure) => figure.id));
const byId = new Map(page.figures.map((figure) => [figure.id, figure]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const id = entry.target.id;
    if (entry.isIntersecting) visible.add(id); else visible.delete(id);
    if (entry.isIntersecting && stale.delete(id)) drawPlot(byId.get(id));
  }
}, {rootMargin: "300px"});

theme(state.get("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  state.set("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  theme(state.get("theme"));
  remember();
  draw();
});
buildFilters();
page.figures.forEach(buildTable);
document.querySelectorAll("section[id]").forEach((section) => { if (byId.has(section.id)) seen.observe(section); });
page.figures.forEach(drawTable);
addEventListener("hashchange", () => {
  state.clear();
  new URLSearchParams(location.hash.slice(1)).forEach((value, key) => state.set(key, value));
  document.querySelectorAll("#filters select").forEach((select) => { select.value = state.get(select.name) ?? ""; });
  draw();
});
document.documentElement.dataset.ready = "yes";
