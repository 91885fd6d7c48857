"use strict";
/* The map, and the field chosen in it with its prompts. */
/* Height of a row of the map, pixels. */
const MAP_ROW = 14;
/* Rates that have a label below the map, percent, where the run has one near them; a rate of 10 % may really be 9.96 %. */
const MAP_TICKS = [0.2, 0.5, 1, 2, 5, 10, 20, 50, 90];
const field = { map: 0, block: 0, rate: 0 };
const rateName = (rate) => `${shown(rate)} %`;

function openingField(map) {
  const later = map.layers.map((layer, place) => place).filter((place) => map.layers[place] !== 0 || map.layers.length === 1);
  field.rate = map.rates.reduce((best, rate, place) => (Math.abs(rate - 10) < Math.abs(map.rates[best] - 10) ? place : best), 0);
  field.block = later.reduce((best, place) => (map.means[place][field.rate] > map.means[best][field.rate] ? place : best), later[0]);
}

async function showMap() {
  const map = data.maps[field.map];
  const values = map.means.flat().filter(known).map(Math.abs);
  const limit = Math.max(...values) || 1;
  const typical = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const rows = map.layers.flatMap((layer, i) => map.rates.map((rate, j) => ({ layer, rate, effect: map.means[i][j], i, j })));
  const theme = dark.matches && !printing ? "dark" : "light";
  const view = await draw("map", `Map of the mean effect by block and rate: ${map.name}`, { fields: rows, chosen: [] }, (spec) => {
    spec.height = Math.max(MAP_ROW * map.layers.length, 60);
    Object.assign(spec.layer[0].encoding.color.scale,
      { domain: [-limit, 0, limit], range: MAP_COLOURS[theme], constant: Math.max(typical, limit / 1000) });
    const every = Math.ceil(map.layers.length / 15);
    for (const layer of spec.layer) layer.encoding.y.axis.values = map.layers.filter((_, place) => place % every === 0);
    const ticks = [0.001, 0.01, 0.1, 1, 10].filter((tick) => tick <= limit && tick > limit / 200).slice(-2);
    spec.layer[0].encoding.color.legend.values = [...ticks.map((tick) => -tick).reverse(), 0, ...ticks];
    const named = MAP_TICKS.map((tick) => map.rates.find((rate) => Math.abs(rate / tick - 1) < 0.05)).filter(known);
    for (const layer of spec.layer) layer.encoding.x.axis.values = named.length > 2 ? named : map.rates;
    if (map.arm === "keep_top") for (const layer of spec.layer) layer.encoding.x.axis.title = "neurons kept (%)";
  });
  view.addEventListener("click", (event, item) => {
    if (item?.datum && "i" in item.datum) choose(item.datum.i, item.datum.j);
  });
  const name = `Map of the mean effect by block and rate, ${map.name}: move with the arrow keys`;
  const operated = { tabindex: "0", role: "application", "aria-label": name, "aria-describedby": "field-title" };
  for (const [attribute, value] of Object.entries(operated)) byId("plot-map").setAttribute(attribute, value);
  setTable("map", ["Block", ...map.rates.map(rateName)], map.layers.map((layer, i) => [String(layer), ...map.means[i]]));
  markField();
}

function markField() {
  const map = data.maps[field.map];
  const chosen = { layer: map.layers[field.block], rate: map.rates[field.rate] };
  views.map?.data("chosen", [chosen]).runAsync();
}

function choose(block, rate) {
  const map = data.maps[field.map];
  field.block = Math.min(Math.max(block, 0), map.layers.length - 1);
  field.rate = Math.min(Math.max(rate, 0), map.rates.length - 1);
  byId("map-block").value = String(field.block);
  byId("map-rate").value = String(field.rate);
  markField();
  showField();
}

function showField() {
  const map = data.maps[field.map];
  const at = (values) => values[field.block][field.rate];
  const name = `Block ${map.layers[field.block]}, ${rateName(map.rates[field.rate])} of its neurons`;
  byId("field-title").textContent = `${name} ${map.arm === "keep_top" ? "kept" : "replaced"}`;
  const mean = `Mean effect ${shown(at(map.means))} ${data.unit}`;
  const details = map.details;
  for (const part of document.querySelectorAll(".field figure, .pair.prompts")) part.hidden = !details;
  if (!details) {
    byId("field-summary").textContent = `${mean}. The prompts of this arm are not on the page, to keep it small; they are in effects/*.parquet.`;
    return;
  }
  const [lower, median, upper] = at(details.quartiles);
  const whose = details.note ? `${details.prompts} prompts, ${details.note}` : `${details.prompts} prompts`;
  byId("field-summary").textContent =
    `${mean}; median ${shown(median)}, half of the prompts between ${shown(lower)} and ${shown(upper)} (${whose}).`;
  showDistribution(name, median, at);
  for (const end of ["most", "least"]) byId(end).replaceChildren(...at(details[end]).map((id, rank) => promptItem(id, at(details[`${end}_effect`])[rank])));
}

function showDistribution(name, median, at) {
  const { details, means } = data.maps[field.map];
  const [low, high, counts] = [at(details.low), at(details.high), at(details.counts)];
  const width = (high - low) / counts.length;
  const bars = counts.map((prompts, place) => ({ from: low + place * width, to: low + (place + 1) * width, prompts }));
  const marks = [{ what: "median", at: median }, { what: "mean", at: at(means) }];
  draw("distribution", `Histogram of the effect over prompts. ${name}`, { bars, marks });
  setTable("distribution", ["From", "To", "Prompts"], bars.map((bar) => [shown(bar.from), shown(bar.to), String(bar.prompts)]));
}

function promptItem(id, effect) {
  const prompt = data.prompts[id];
  const item = element("li", null);
  const head = element("div", null, { class: "head" });
  head.append(element("bdi", prompt.title), element("span", `${shown(effect)} ${data.unit}`, { class: "effect" }));
  const text = element("p", null, { class: "text", dir: "auto" });
  const bare = prompt.target.trimStart() || prompt.target;
  const gap = prompt.target.slice(0, prompt.target.length - bare.length);
  text.append(element("span", prompt.text + gap), element("mark", bare));
  item.append(head, text);
  if (known(prompt.logprob)) item.append(element("span", `Clean log-probability ${shown(prompt.logprob)}`, { class: "fine" }));
  return item;
}

function changeMap() {
  const map = data.maps[field.map];
  openingField(map);
  for (const [id, names] of [["map-block", map.layers.map(String)], ["map-rate", map.rates.map(rateName)]]) {
    byId(id).replaceChildren(...names.map((name, place) => element("option", name, { value: place })));
    byId(id).closest(".choice").hidden = names.length < 2;
  }
  showMap().then(() => choose(field.block, field.rate));
}

function startMap() {
  fillChoice("map-choice", data.maps.map((map, place) => [place, map.name]), (event) => { field.map = Number(event.target.value); changeMap(); });
  byId("map-block").addEventListener("change", (event) => choose(Number(event.target.value), field.rate));
  byId("map-rate").addEventListener("change", (event) => choose(field.block, Number(event.target.value)));
  const steps = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
  byId("plot-map").addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(field.block + steps[event.key][0], field.rate + steps[event.key][1]);
  });
  changeMap();
}
