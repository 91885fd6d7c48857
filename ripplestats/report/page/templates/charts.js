"use strict";
/* What all parts of the page share: its data, names of numbers, choices, charts and their tables. */
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);
const data = read("data");
const dark = matchMedia("(prefers-color-scheme: dark)");
const NARROW = 520;
/* The page's text grows on large screens, and its charts with it. */
const SCALE = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
const FONT_SIZES = { labelFontSize: 12 * SCALE, titleFontSize: 12 * SCALE, titleFontWeight: 500 };
const MAP_COLOURS = { light: ["#0072b2", "#f4f4f1", "#d55e00"], dark: ["#4ba6dd", "#23272f", "#f2854a"] };
const CONFIG = {
  background: "transparent",
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif",
  view: { stroke: null },
  mark: { tooltip: true },
  axis: {
    labelColor: "var(--muted)", titleColor: "var(--text)", domainColor: "var(--line)", tickColor: "var(--line)",
    gridColor: "var(--grid)", ...FONT_SIZES, titlePadding: 8,
    labelOverlap: "greedy", labelSeparation: 3,
  },
  legend: {
    labelColor: "var(--text)", titleColor: "var(--text)", ...FONT_SIZES, labelLimit: 260 * SCALE, titleLimit: 320 * SCALE,
    orient: "top", symbolStrokeWidth: 2,
  },
};
/* Pixels between the margins of a printed page, and how high charts are on it. */
const PRINTED = { width: 670, height: 0.8 };
let printing = false;
/* A cell of a table with more characters is words, and its column is set left. */
const MOST_OF_A_NUMBER = 12;

/* Numbers and names */
const known = (value) => value !== null && value !== undefined;
const shown = (value) => (known(value) ? String(Number(value.toPrecision(3))).replace("-", "−") : "–");
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const groupName = (group) => sentence(data.groups[group]);

/* Elements: whatever comes from data is set as text */
function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function fillChoice(id, options, listener) {
  const choice = byId(id);
  choice.replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
  choice.closest(".choice").hidden = options.length < 2;
  choice.addEventListener("change", listener);
  return choice;
}

/* Charts, each with a table of its numbers */
const views = {};
const tables = {};

async function draw(name, description, sources, change = () => {}) {
  const holder = byId(`plot-${name}`);
  const spec = structuredClone(data.charts[name]);
  spec.description = description;
  change(spec);
  spec.height *= printing ? PRINTED.height : SCALE;
  if (printing) Object.assign(spec, { width: PRINTED.width, autosize: { type: "fit-x", contains: "padding" } });
  const narrow = !printing && holder.clientWidth < NARROW;
  const legend = { ...CONFIG.legend, columns: narrow ? 1 : 3 };
  const compiled = vegaLite.compile(spec, { config: { ...CONFIG, legend } }).spec;
  for (const source of compiled.data) if (source.name in sources) source.values = sources[source.name];
  views[name]?.finalize();
  const view = new vega.View(vega.parse(compiled, null, { ast: true }), { renderer: "svg", expr: vega.expressionInterpreter });
  views[name] = view;
  await view.initialize(holder).runAsync();
  return view;
}

function colourSeries(spec, names, places) {
  for (const layer of spec.layer) {
    const colour = layer.encoding.color;
    if (colour?.scale?.domain?.length === 0) colour.scale = { domain: names, range: places.map((place) => `var(--arm-${place})`) };
  }
}

function setTable(name, columns, rows) {
  tables[name] = { columns, rows };
  const details = document.querySelector(`details[data-table="${name}"]`);
  if (details.open) fillTable(details);
}

function fillTable(details) {
  const { columns, rows } = tables[details.dataset.table];
  const words = columns.map((column, place) => rows.some((row) => typeof row[place] === "string" && row[place].length > MOST_OF_A_NUMBER));
  const kind = (place) => (place && !words[place] ? "n" : "");
  const head = element("tr", null);
  head.append(...columns.map((column, place) => element("th", column, { scope: "col", class: kind(place) })));
  const body = element("tbody", null);
  for (const row of rows) {
    const line = element("tr", null);
    line.append(...row.map((cell, place) => element(place ? "td" : "th", typeof cell === "string" ? cell : shown(cell),
      place ? { class: kind(place) } : { scope: "row" })));
    body.append(line);
  }
  const whole = element("table", null);
  const caption = element("thead", null);
  caption.append(head);
  whole.append(caption, body);
  const box = element("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers of the chart" });
  box.append(whole);
  details.querySelector(".scroll")?.remove();
  details.append(box);
}
