// Saves a chart (a table with SVG bars) as one SVG or PNG picture, drawn here: nothing leaves the browser.
// <div id="chart" data-title="…" data-about="Share of 900 rows"><ul data-legend><li data-part="is-positive">positive</li></ul>
//   <table class="chart"> … <tr data-n="all,positive,neutral,negative,none"><th><span data-name>…</span></th>…<td data-share>…</td></tr></table></div>
// <button type="button" data-chart-download="svg" data-chart="#chart">SVG</button>      also "png" and "csv" (the numbers)
// A picture shows what is open on the screen; the table has every category and topic.

const ROW = 24;
const BAR = 380;
const SHARE = 70;
const MARGIN = 20;
const MOST_LABEL = 420;
const SVG = "http://www.w3.org/2000/svg";
const ruler = document.createElement("canvas").getContext("2d");

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function widthOf(text, font = "13px sans-serif") {
  ruler.font = font;
  return ruler.measureText(text).width;
}

function fit(text, most) {
  if (widthOf(text) <= most) return text;
  let end = text.length;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`) > most) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** The question may be long: it is broken into lines. */
function lines(text, most, font) {
  const found = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${found.at(-1)} ${word}`.trim();
    if (found.at(-1) && widthOf(longer, font) > most) found.push(word);
    else found[found.length - 1] = longer;
  }
  return found.slice(0, 4);
}

function ground(box) {
  for (let element = box; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!/rgba\(.*, 0\)|transparent/.test(color)) return color;
  }
  return "#fff";
}

const nameOf = (row) => (row.querySelector("[data-name]") ?? row.querySelector("th"))?.textContent.trim() ?? "";

function draw(box) {
  const style = getComputedStyle(box);
  const muted = getComputedStyle(box.querySelector(".muted") ?? box).color;
  const rows = [...box.querySelectorAll("tbody tr[data-n]")].filter((row) => row.offsetParent !== null);
  const inset = (row) => (row.classList.contains("is-topic") ? 16 : 0);
  const label = Math.min(MOST_LABEL, Math.max(120, ...rows.map((row) => widthOf(nameOf(row)) + inset(row)))) + 12;
  const width = MARGIN + label + BAR + SHARE + MARGIN;
  const title = lines(box.dataset.title ?? "", width - 2 * MARGIN, "600 15px sans-serif");
  const about = lines(box.dataset.about ?? "", width - 2 * MARGIN, "12px sans-serif");
  let y = MARGIN + 12;
  const svg = node("svg", { xmlns: SVG, "font-family": "system-ui, sans-serif", "font-size": 13, fill: style.color });
  const paper = svg.appendChild(node("rect", { fill: ground(box) }));
  for (const text of title) svg.append(node("text", { x: MARGIN, y: (y += 20) - 20, "font-weight": 600, "font-size": 15 }, text));
  for (const text of about) svg.append(node("text", { x: MARGIN, y: (y += 16) - 18, "font-size": 12, fill: muted }, text));
  let x = MARGIN;
  for (const part of box.querySelectorAll("[data-legend] [data-part]")) {
    const sample = box.querySelector(`rect.${part.dataset.part}`);
    if (!sample) continue;
    const text = part.textContent.trim();
    svg.append(node("rect", { x, y: y - 9, width: 10, height: 10, fill: getComputedStyle(sample).fill }), node("text", { x: x + 15, y, "font-size": 12 }, text));
    x += 33 + widthOf(text, "12px sans-serif");
  }
  if (x > MARGIN) y += 10;
  const ticks = [...box.querySelectorAll(".chart__ticks text")];
  const left = MARGIN + label;
  y += 14;
  const top = y;
  for (const tick of ticks) {
    const at = left + (parseFloat(tick.getAttribute("x")) / 100) * BAR;
    svg.append(node("text", { x: at, y, "font-size": 11, "text-anchor": "middle", fill: muted }, tick.textContent));
    svg.append(node("line", { x1: at, x2: at, y1: top + 6, y2: top + 8 + ROW * rows.length, stroke: muted, "stroke-opacity": 0.25 }));
  }
  y += 8;
  for (const row of rows) {
    const isTopic = row.classList.contains("is-topic");
    svg.append(node("text", { x: MARGIN + inset(row), y: y + 16, "font-weight": isTopic ? 400 : 600 }, fit(nameOf(row), label - 12 - inset(row))));
    for (const rect of row.querySelectorAll("svg rect")) {
      svg.append(node("rect", {
        x: (left + (parseFloat(rect.getAttribute("x") || "0") / 100) * BAR).toFixed(2),
        y: y + 5,
        width: ((parseFloat(rect.getAttribute("width") || "0") / 100) * BAR).toFixed(2),
        height: 14,
        fill: getComputedStyle(rect).fill,
      }));
    }
    svg.append(node("text", { x: width - MARGIN, y: y + 16, "text-anchor": "end" }, row.querySelector("[data-share]")?.textContent.trim() ?? ""));
    y += ROW;
  }
  const height = y + MARGIN;
  for (const one of [svg, paper]) {
    one.setAttribute("width", Math.ceil(width));
    one.setAttribute("height", Math.ceil(height));
  }
  svg.setAttribute("viewBox", `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`);
  return new XMLSerializer().serializeToString(svg);
}

/** All lines of the chart as CSV, hidden ones too, shares as plain numbers. No cell can become a formula. */
function table(box) {
  const cell = (value) => {
    const plain = String(value).trim().replace(/\s+/g, " ");
    return `"${(/^[=+\-@]/.test(plain) ? `'${plain}` : plain).replaceAll('"', '""')}"`;
  };
  const total = Number(box.dataset.total) || 0;
  const found = [["category", "topic", "rows", "share_percent", "positive", "neutral", "negative", "without_sentiment"]];
  let category = "";
  for (const row of box.querySelectorAll("tbody tr[data-n]")) {
    const [all, ...moods] = row.dataset.n.split(",");
    const isTopic = row.classList.contains("is-topic");
    if (!isTopic) category = nameOf(row);
    found.push([category, isTopic ? nameOf(row) : "", all, total ? ((100 * all) / total).toFixed(2) : "", ...moods]);
  }
  return `\ufeff${found.map((line) => line.map(cell).join(",")).join("\r\n")}\r\n`;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function picture(text) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * 2;
  canvas.height = image.height * 2;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-chart-download]");
  if (!button) return;
  const box = document.querySelector(button.dataset.chart);
  if (!box) return;
  const name = (box.dataset.title ?? "chart").replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
  if (button.dataset.chartDownload === "csv") return save(new Blob([table(box)], { type: "text/csv;charset=utf-8" }), `${name}.csv`);
  const text = draw(box);
  if (button.dataset.chartDownload === "svg") save(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
  else save(await picture(text), `${name}.png`);
});
