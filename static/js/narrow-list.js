// A field that narrows a list while one types; arrows and Enter stay those of the page.
// <input data-narrow="#list"> <div id="list"><label data-narrow-item="Service Friendliness">…</label> …</div>
// <p data-narrow-none="#list" hidden>No topic has this name.</p>
// An item is found by all words of the field, in any order, without regard to case and accents. Headings of the list
// (elements without data-narrow-item) hide while something is typed.

import { announce } from "./page.js";

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function narrow(field) {
  const list = document.querySelector(field.dataset.narrow);
  if (!list) return;
  const words = plain(field.value).split(/\s+/u).filter(Boolean);
  let shown = 0;
  for (const item of list.children) {
    const text = item.dataset.narrowItem;
    const found = text === undefined ? words.length === 0 : words.every((word) => plain(text).includes(word));
    item.hidden = !found;
    if (found && text !== undefined) shown += 1;
  }
  const none = document.querySelector(`[data-narrow-none="${field.dataset.narrow}"]`);
  if (none) none.hidden = shown > 0;
  announce(shown ? String(shown) : (none?.textContent ?? ""));
}

document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-narrow]")) narrow(event.target);
});
// What was typed before this module was here.
for (const field of document.querySelectorAll("[data-narrow]")) if (field.value) narrow(field);

// Enter in it is no reason to send the form around it.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.closest?.("[data-narrow]")) event.preventDefault();
});
