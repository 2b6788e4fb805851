// Opens and closes the detail rows of a table.
// <tbody id="result-3"><tr>… <button data-toggle-rows="result-3" aria-expanded="false">Delivery</button></tr><tr class="is-topic" hidden>…</tr></tbody>
// <button data-toggle-all="#results" aria-pressed="false">Show all topics</button>
// What is open stays open when the table is drawn again.

import { onSettled } from "./htmx-config.js";

const open = new Set();

function set(body, on) {
  body.querySelectorAll("tr.is-topic").forEach((row) => (row.hidden = !on));
  body.querySelector("[data-toggle-rows]")?.setAttribute("aria-expanded", String(on));
  if (on) open.add(body.id);
  else open.delete(body.id);
}

document.addEventListener("click", (event) => {
  const one = event.target.closest("[data-toggle-rows]");
  if (one) set(document.getElementById(one.dataset.toggleRows), one.getAttribute("aria-expanded") !== "true");
  const all = event.target.closest("[data-toggle-all]");
  if (!all) return;
  const on = all.getAttribute("aria-pressed") !== "true";
  all.setAttribute("aria-pressed", String(on));
  document.querySelectorAll(`${all.dataset.toggleAll} tbody`).forEach((body) => set(body, on));
});

onSettled((target) => {
  target?.querySelectorAll?.("tbody[id]").forEach((body) => open.has(body.id) && set(body, true));
  for (const all of target?.querySelectorAll?.("[data-toggle-all]") ?? []) {
    const bodies = [...document.querySelectorAll(`${all.dataset.toggleAll} tbody[id]`)];
    all.setAttribute("aria-pressed", String(bodies.length > 0 && bodies.every((body) => open.has(body.id))));
  }
});
