// Saves a chart (a table with SVG bars) as one SVG or PNG picture, drawn here: nothing leaves the browser.
// <div id="chart" data-title="…"><table class="chart">…</table></div>
// <button type="button" data-chart-download="svg" data-chart="#chart">SVG</button>      also "png" and "csv" (the numbers)

const ROW = 26;
const LABEL = 240;
const BAR = 360;
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function draw(box) {
  const style = getComputedStyle(document.body);
  const rows = [...box.querySelectorAll("tbody tr")].filter((row) => !row.closest("[hidden]") && row.offsetParent !== null);
  const height = 56 + ROW * rows.length;
  const width = 16 + LABEL + BAR + 90;
  const svg = node("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "sans-serif", "font-size": 13, fill: style.color });
  svg.append(node("rect", { width, height, fill: getComputedStyle(box.closest(".card, .panel, body")).backgroundColor === "rgba(0, 0, 0, 0)" ? style.backgroundColor : getComputedStyle(box.closest(".card, .panel, body")).backgroundColor }));
  svg.append(node("text", { x: 16, y: 28, "font-weight": 600, "font-size": 15 }, box.dataset.title ?? ""));
  rows.forEach((row, index) => {
    const y = 44 + ROW * index;
    const inset = row.classList.contains("is-topic") ? 16 : 0;
    svg.append(node("text", { x: 16 + inset, y: y + 16 }, shorten(row.querySelector("th").textContent.trim(), 34)));
    for (const rect of row.querySelectorAll("svg rect")) {
      svg.append(node("rect", {
        x: 16 + LABEL + (parseFloat(rect.getAttribute("x") || "0") / 100) * BAR,
        y: y + 4,
        width: (parseFloat(rect.getAttribute("width") || "0") / 100) * BAR,
        height: 15,
        fill: getComputedStyle(rect).fill,
      }));
    }
    svg.append(node("text", { x: 16 + LABEL + BAR + 8, y: y + 16 }, row.querySelector("[data-share]")?.textContent.trim() ?? ""));
  });
  return new XMLSerializer().serializeToString(svg);
}

/** All lines of the chart as CSV, hidden ones too. No cell can become a formula. */
function table(box) {
  const cell = (text) => {
    const plain = text.trim().replace(/\s+/g, " ");
    return `"${(/^[=+\-@]/.test(plain) ? `'${plain}` : plain).replaceAll('"', '""')}"`;
  };
  const lines = [["level", "name", "share", "rows"].map(cell)];
  for (const row of box.querySelectorAll("tbody tr")) {
    const cells = [...row.querySelectorAll("td.number")].map((one) => one.textContent.replace(/\u202f/g, ""));
    lines.push([row.classList.contains("is-topic") ? "topic" : "category", row.querySelector("th").textContent, ...cells].map(cell));
  }
  return `\ufeff${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
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
