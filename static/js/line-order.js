// Puts the topics of a row into another order: by dragging the grip, or by keys.
// <ul data-lines data-sortable><li data-topic="12"><button type="button" data-grip draggable="true">…</button> …</li></ul>
// Alt+Up / Alt+Down anywhere in a line, or Up / Down on its grip. Event "lines-changed" when the new order stands:
// at the drop, or shortly after the last key.

import { announce } from "./page.js";

const SETTLE_MS = 600;
let dragged = null;
let before = [];

const linesOf = (list) => [...list.querySelectorAll(":scope > [data-topic]")];
const nameOf = (line) => line.querySelector(".line__label").textContent.trim();
const orderOf = (list) => linesOf(list).map((line) => line.dataset.topic).join();

function changed(list) {
  list.dispatchEvent(new CustomEvent("lines-changed", { bubbles: true }));
}

/** Not at each key: three steps up are one decision. What is not sent yet goes before the row is left. */
let cancel = () => {};
function later(list) {
  cancel();
  const send = () => {
    cancel();
    if (list.isConnected) changed(list);
  };
  // A line that is moved loses the focus for a moment: that is no leaving.
  const leave = () => setTimeout(() => !list.contains(document.activeElement) && send());
  list.addEventListener("focusout", leave);
  document.addEventListener("row-leave", send);
  const timer = setTimeout(send, SETTLE_MS);
  cancel = () => {
    clearTimeout(timer);
    list.removeEventListener("focusout", leave);
    document.removeEventListener("row-leave", send);
  };
}

function move(line, by) {
  const list = line.parentElement;
  const lines = linesOf(list);
  const to = lines.indexOf(line) + by;
  if (to < 0 || to >= lines.length) return;
  const focused = document.activeElement;
  lines[to][by < 0 ? "before" : "after"](line);
  focused.focus({ preventScroll: true });
  line.scrollIntoView({ block: "nearest" });
  announce(`${nameOf(line)}: ${to + 1} / ${lines.length}`);
  later(list);
}

document.addEventListener("keydown", (event) => {
  const line = event.target.closest?.("[data-sortable] > [data-topic]");
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!line || !by || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (!event.altKey && !event.target.closest("[data-grip]")) return;
  event.preventDefault();
  move(line, by);
});

document.addEventListener("dragstart", (event) => {
  const grip = event.target.closest?.("[data-grip]");
  if (!grip) return;
  dragged = grip.closest("[data-topic]");
  before = linesOf(dragged.parentElement);
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", nameOf(dragged));
  event.dataTransfer.setDragImage(dragged, 12, 12);
  dragged.classList.add("is-dragged");
});

// Both alike: the last move of a drag may enter a line and never report that it is over it.
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    const list = dragged?.parentElement;
    if (!list?.contains(event.target)) return;
    event.preventDefault();
    const over = event.target.closest("[data-topic]");
    if (!over || over === dragged) return;
    const box = over.getBoundingClientRect();
    over[event.clientY < box.top + box.height / 2 ? "before" : "after"](dragged);
  });
}

document.addEventListener("drop", (event) => dragged?.parentElement?.contains(event.target) && event.preventDefault());
document.addEventListener("dragend", (event) => {
  if (!dragged) return;
  const list = dragged.parentElement;
  dragged.classList.remove("is-dragged");
  dragged = null;
  if (!list) return;
  if (event.dataTransfer.dropEffect === "none") list.prepend(...before); // Escape, or dropped elsewhere
  else if (orderOf(list) !== before.map((line) => line.dataset.topic).join()) changed(list);
});
