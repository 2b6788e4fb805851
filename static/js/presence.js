// Shows which rows somebody else has open, and tells the server which one is open here.
// <span class="row__with" data-own>…alice</span> is put into the row; <p id="row-with" role="status"></p> stands in the open row.
// It rides on the poll of #ai-status: parameters "open" and "with"; the event "presence" {rows: {12: ["alice"]}, sign} on
// body brings news. A hint, not a lock: a save still says 409 where somebody else was faster.

import { addParameters, onSettled } from "./htmx-config.js";

let others = {};
let sign = "";

function openRow() {
  const panel = document.querySelector("[data-row-panel]:not([hidden]) [data-verbatim]");
  return panel?.dataset.verbatim ?? document.querySelector("focus-card #card [name=verbatim]")?.value ?? "";
}

function badge(names) {
  const made = document.createElement("span");
  made.className = "badge badge--accent row__with";
  made.dataset.own = "";
  made.textContent = names.join(", ");
  made.title = document.querySelector("[data-with-text]")?.dataset.withText ?? "";
  return made;
}

function paint() {
  for (const old of document.querySelectorAll(".row__with")) {
    const names = others[old.closest("[data-row]")?.dataset.row];
    if (names?.join(", ") !== old.textContent) old.remove();
  }
  for (const [id, names] of Object.entries(others)) {
    const place = document.querySelector(`#row-${CSS.escape(id)} .row__tools`);
    if (place && !place.querySelector(".row__with")) place.prepend(badge(names));
  }
  const note = document.getElementById("row-with");
  if (!note) return;
  const names = others[openRow()] ?? [];
  const text = names.length ? note.dataset.text.replace("%s", names.join(", ")) : "";
  if (note.textContent !== text) note.textContent = text;
  note.hidden = !text;
}

addParameters("#ai-status", () => ({ open: openRow(), with: sign }));
document.body.addEventListener("presence", (event) => {
  others = event.detail.rows;
  sign = event.detail.sign;
  paint();
});
onSettled(paint);
