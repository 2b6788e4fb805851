// A notice that leaves by itself after 12 s; not while it is hovered or focused, never with data-stay.
// <toast-item class="toast"><span class="toast__text">Row 12 reviewed</span> <button data-undo hx-post="…">Undo</button> <button data-close>×</button></toast-item>
// At most four are shown; the oldest goes first.

import { onAfterRequest } from "./htmx-config.js";

const SHOWN_MS = 12000;
const MOST = 4;

class ToastItem extends HTMLElement {
  connectedCallback() {
    this.start();
    this.addEventListener("pointerenter", () => this.stop());
    this.addEventListener("pointerleave", () => this.start());
    this.addEventListener("focusin", () => this.stop());
    this.addEventListener("focusout", () => this.start());
    this.addEventListener("click", (event) => event.target.closest("[data-close]") && this.remove());
    // Notices about the same thing replace each other.
    const key = this.dataset.key;
    if (key) this.parentElement.querySelectorAll(`toast-item[data-key="${CSS.escape(key)}"]`).forEach((old) => old !== this && old.remove());
    const all = [...this.parentElement.querySelectorAll("toast-item")];
    all.slice(0, Math.max(0, all.length - MOST)).forEach((old) => old.remove());
  }

  disconnectedCallback() {
    this.stop();
  }

  start() {
    this.stop();
    if (!("stay" in this.dataset)) this.timer = setTimeout(() => this.remove(), SHOWN_MS);
  }

  stop() {
    clearTimeout(this.timer);
  }
}

customElements.define("toast-item", ToastItem);

onAfterRequest(({ element, ok }) => {
  if (ok && element.closest?.("[data-undo]")) element.closest("toast-item")?.remove();
});
