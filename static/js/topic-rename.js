// A name that is changed where it stands.
// <li data-rename-url="/topics/12/rename/" data-version="a1b2" data-name="Speed" data-most="50">
//   <span data-rename-slot><button>Speed</button></span> <button data-rename>Rename</button></li>
// Enter or leaving the field saves, Escape goes back. What was typed survives a refusal and a fresh list.

import { load } from "./htmx-config.js";
import { gettext } from "./texts.js";

let draft = null; // {url, text}: the field that is open

export function startRename(place, text = null) {
  const slot = place?.querySelector("[data-rename-slot]");
  if (!slot || slot.querySelector("input")) return;
  const former = [...slot.childNodes];
  const input = document.createElement("input");
  input.className = "input input--small topic__input";
  input.value = text ?? place.dataset.name;
  input.maxLength = Number(place.dataset.most);
  input.setAttribute("aria-label", gettext("New name for %(name)s", { name: place.dataset.name }));
  slot.replaceChildren(input);
  draft = { url: place.dataset.renameUrl, text: input.value };
  let ended = false;

  const close = (focus) => {
    ended = true;
    draft = null;
    slot.replaceChildren(...former);
    if (focus) (slot.querySelector("button") ?? place.querySelector("[data-rename]"))?.focus();
  };
  const save = async (focus) => {
    if (ended) return;
    const label = input.value.trim();
    if (!label || label === place.dataset.name) return close(focus);
    ended = true;
    input.readOnly = true;
    let saved = false;
    // A refusal that brings its own notice counts as successful for htmx: only the status tells.
    const note = (event) => (saved = event.detail.xhr.status >= 200 && event.detail.xhr.status < 300);
    place.addEventListener("htmx:afterRequest", note, { once: true });
    await load("POST", place.dataset.renameUrl, {
      source: place, target: place, swap: "none", values: { label, version: place.dataset.version },
    });
    if (saved) {
      draft = null;
      if (!input.isConnected) return;
      close(focus);
      (slot.querySelector(".chip__label") ?? slot).textContent = label;
    } else if (input.isConnected) {
      ended = false;
      input.readOnly = false;
      input.focus();
    }
  };

  input.addEventListener("input", () => (draft = { url: place.dataset.renameUrl, text: input.value }));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      save(true);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close(true);
    }
  });
  // A list that is drawn again takes the field away: that is no decision of the person.
  input.addEventListener("blur", () => setTimeout(() => input.isConnected && document.activeElement !== input && save(false)));
  input.focus();
  input.select();
}

/** Open the field again that was open when the list was drawn anew. */
export function restoreRename(root) {
  if (!draft) return;
  const { url, text } = draft;
  const place = [...root.querySelectorAll("[data-rename-url]")].find((one) => one.dataset.renameUrl === url);
  if (place) startRename(place, text);
  else draft = null;
}
