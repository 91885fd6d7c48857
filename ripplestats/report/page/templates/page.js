"use strict";
/* The other charts, the downloads, and the start of it all. */
/* Dose–response */
const groupsOf = (series) => [...new Set(series.flatMap((one) => one.groups))].map((group) => [group, groupName(group)]);

function showDoses() {
  const { series } = data.comparisons[Number(byId("doses-compare").value)];
  const group = byId("doses-block").value;
  const chosen = series.filter((one) => one.groups.includes(group));
  const points = chosen.flatMap((one) => {
    const place = one.groups.indexOf(group);
    return one.rates.map((rate, j) => {
      const [effect, half] = [one.mean[place][j], one.half[place][j]];
      return { series: one.name, rate, effect, low: known(half) ? effect - half : null, high: known(half) ? effect + half : null };
    });
  });
  const thresholds = chosen.filter((one) => known(one.thresholds[group]?.[0])).map((one) => ({ series: one.name, rate: one.thresholds[group][0] }));
  draw("doses", `Mean effect by rate, ${data.groups[group]}: ${chosen.map((one) => one.name).join(", ")}`,
    { points: points.filter((point) => point.rate > 0), thresholds },
    (spec) => colourSeries(spec, chosen.map((one) => one.name), chosen.map((one) => one.colour)));
  setTable("doses", ["Neurons", "Rate (%)", "Effect", "Low", "High"], points.map((one) => [one.series, one.rate, one.effect, one.low, one.high]));
}

function startDoses() {
  const blocks = () => fillBlocks("doses-block", data.comparisons[Number(byId("doses-compare").value)].series);
  fillChoice("doses-compare", data.comparisons.map((one, place) => [place, sentence(one.name)]), () => { blocks(); showDoses(); });
  byId("doses-block").addEventListener("change", showDoses);
  blocks();
  showDoses();
}

function fillBlocks(id, series) {
  const options = groupsOf(series);
  byId(id).replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
  byId(id).closest(".choice").hidden = options.length < 2;
}

/* Thresholds */
function showThresholds() {
  const one = data.comparisons[0].series[Number(byId("thresholds-of").value)];
  const rows = Object.entries(one.thresholds).map(([layer, [estimate, low, high, note]]) => ({ layer, estimate, low, high, note }));
  const blocks = rows.filter((row) => row.layer !== "all").map((row) => ({ ...row, layer: Number(row.layer) }));
  draw("thresholds", `Threshold of each block, ${one.name}`, {
    blocks: blocks.filter((row) => known(row.estimate)),
    undefined: blocks.filter((row) => !known(row.estimate)),
    overall: rows.filter((row) => row.layer === "all" && known(row.estimate) && known(row.low)),
  });
  setTable("thresholds", ["Block", "Threshold (%)", "Low", "High", "Note"], rows.map((row) => [groupName(row.layer), row.estimate, row.low, row.high, row.note]));
}

/* Sufficiency, residuals, influence */
function showSufficiency() {
  const place = data.sufficiency.groups.indexOf(byId("sufficiency-block").value);
  const kinds = [["replaced: what it destroys", data.sufficiency.necessary], ["kept alone: what it wins back", data.sufficiency.sufficient]];
  const points = kinds.flatMap(([series, one]) => one.rates.map((rate, j) =>
    ({ series, rate, effect: one.effect[place][j], share: known(one.share[place][j]) ? 100 * one.share[place][j] : null })));
  draw("sufficiency", `Sufficiency against necessity, ${data.groups[data.sufficiency.groups[place]]}`, { points: points.filter((point) => point.rate > 0) },
    (spec) => colourSeries(spec, kinds.map(([name]) => name), [0, 1]));
  const fractions = data.sufficiency.fractions.map((one) =>
    [one.what, known(one.limits[0]) ? `${shown(one.limits[0])} [${shown(one.limits[1])}, ${shown(one.limits[2])}]` : one.note, String(one.share), "–"]);
  setTable("sufficiency", ["Largest neurons", "Share of neurons (%)", "Share of the effect (%)", `Effect (${data.unit})`],
    [...fractions, ...points.map((one) => [one.series, one.rate, one.share, one.effect])]);
}

function showResiduals() {
  const { groups, rates, residual, std_error } = data.residuals;
  const place = groups.indexOf(byId("residuals-block").value);
  const points = rates.map((rate, j) => {
    const [left, error] = [residual[place][j], std_error[place][j]];
    return { rate, residual: left, low: known(error) ? left - 2 * error : null, high: known(error) ? left + 2 * error : null, error };
  });
  draw("residuals", `Residuals of the two-phase line, ${data.groups[groups[place]]}`, { points: points.filter((point) => point.rate > 0) });
  setTable("residuals", ["Rate (%)", "Residual", "Standard error"], points.map((one) => [shown(one.rate), one.residual, one.error]));
}

function showInfluence() {
  const names = [...new Set(data.influence.map((one) => one.quantity))];
  draw("influence", "Shift of the main estimates as each document is left out, in standard errors", { documents: data.influence },
    (spec) => {
      spec.height = 21 * new Set(data.influence.map((one) => one.document)).size;
      colourSeries(spec, names, names.map((name, place) => place));
    });
  setTable("influence", ["Document", "Estimate", "Shift (standard errors)"], data.influence.map((one) => [one.document, one.quantity, one.shift]));
}

/* Downloads */
async function download(name) {
  const packed = Uint8Array.from(atob(read("files").find((file) => file.name === name).packed), (character) => character.charCodeAt(0));
  const whole = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  const link = element("a", null, { download: name.split("/").pop(), href: URL.createObjectURL(whole) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const button of document.querySelectorAll("button[data-file]")) {
  button.addEventListener("click", () => download(button.dataset.file).catch((error) => {
    byId("download-trouble").textContent = `This browser cannot unpack ${button.dataset.file} (${error.message}); it lies beside this page.`;
  }));
}
for (const details of document.querySelectorAll("details[data-table]")) {
  details.addEventListener("toggle", () => details.open && fillTable(details));
}

startMap();
startDoses();
fillChoice("thresholds-of", data.comparisons[0].series.map((one, place) => [place, one.name]), showThresholds);
showThresholds();
if (data.sufficiency) {
  fillChoice("sufficiency-block", data.sufficiency.groups.map((group) => [group, groupName(group)]), showSufficiency);
  showSufficiency();
}
if (data.residuals) {
  fillChoice("residuals-block", data.residuals.groups.map((group) => [group, groupName(group)]), showResiduals);
  showResiduals();
}
if (data.influence.length) showInfluence();
dark.addEventListener("change", showMap);

/* On paper charts are as wide as the page, and its colours are the light ones. */
function drawAll(forPrint) {
  printing = forPrint;
  showMap().then(() => choose(field.block, field.rate));
  showDoses();
  showThresholds();
  if (data.sufficiency) showSufficiency();
  if (data.residuals) showResiduals();
  if (data.influence.length) showInfluence();
}
addEventListener("beforeprint", () => drawAll(true));
addEventListener("afterprint", () => drawAll(false));
