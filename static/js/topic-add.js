// Adds topics one after the other where they shall stand: type a name, Enter, the next.
// <button type="button" data-add-topic data-url="/columns/3/topics/new/" data-into="4" data-sentiment="on" data-most="50"
//   data-label="Name of the new topic in Service">Add topic</button>
// Enter adds and asks for the next, Escape or leaving the field ends. What was typed survives a refusal and a fresh list.

import { load } from "./htmx-config.js";

let draft = null; // {category, text}: the field that is open

function open(button, text = "") {
  const input = document.createElement("input");
  input.className = "input input--small topic__input";
  input.maxLength = Number(button.dataset.most);
  input.value = text;
  input.setAttribute("aria-label", button.dataset.label);
  button.hidden = true;
  button.after(input);
  draft = { category: button.dataset.into, text };
  let isSending = false;
  const close = (focus) => {
    draft = null;
    input.remove();
    button.hidden = false;
    if (focus) button.focus();
  };
  const add = async (goOn) => {
    const label = input.value.trim();
    if (isSending) return;
    if (!label) return close(goOn);
    isSending = true;
    input.readOnly = true;
    draft = goOn ? { category: button.dataset.into, text: "" } : null;
    let saved = false;
    const note = (event) => (saved = event.detail.xhr.status >= 200 && event.detail.xhr.status < 300);
    button.addEventListener("htmx:afterRequest", note, { once: true });
    const values = { label, category: button.dataset.into };
    if (button.dataset.sentiment) values.sentiment_enabled = "on";
    await load("POST", button.dataset.url, { source: button, target: "#dialog", swap: "innerHTML", values });
    if (!input.isConnected) return;
    isSending = false;
    input.readOnly = false;
    if (!saved) {
      // The dialog has come with the name and what is wrong with it, or a notice says so.
      if (document.querySelector("#dialog dialog")) return close(false);
      draft = { category: button.dataset.into, text: label };
      return input.focus();
    }
    input.value = "";
    if (!goOn) close(false);
  };
  input.addEventListener("input", () => draft && (draft.text = input.value));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      add(true);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close(true);
    }
  });
  input.addEventListener("blur", () => setTimeout(() => input.isConnected && document.activeElement !== input && add(false)));
  input.focus();
}

/** Open the field again that was open when the list was drawn anew. */
export function restoreAdd(board) {
  if (!draft) return;
  const button = board.querySelector(`[data-add-topic][data-into="${CSS.escape(draft.category)}"]`);
  if (button) open(button, draft.text);
  else draft = null;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add-topic]");
  if (button) open(button);
});
