// Ctrl/Cmd+Z takes back the last change of this person in this column, wherever the focus is - except in
// a text field, where it keeps its usual meaning.
// <undo-keys data-url="/columns/12/undo/"></undo-keys>   the server answers with notices and fresh parts

import { load } from "./htmx-config.js";

class UndoKeys extends HTMLElement {
  connectedCallback() {
    this.onKey = (event) => {
      if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
      const target = event.target;
      if (target instanceof Element && (target.closest("dialog[open]") || target.matches("textarea, select, [contenteditable]"))) return;
      if (target instanceof HTMLInputElement && !["checkbox", "radio", "button", "submit"].includes(target.type) && target.value) return;
      event.preventDefault();
      this.undo();
    };
    document.addEventListener("keydown", this.onKey);
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.onKey);
  }

  undo() {
    if (this.busy) return;
    this.busy = true;
    load("POST", this.dataset.url, { source: this, target: this, swap: "none" }).finally(() => (this.busy = false));
  }
}

customElements.define("undo-keys", UndoKeys);
