// The dialog of a bulk action: topics only where they are needed, and what would happen after every choice.
// <bulk-form hx-sync="this:replace"><form data-preview-url="…"> <input type="radio" name="topics_mode" value="add">
//   <topic-editor data-topics>…</topic-editor> … <div id="bulk-preview">…</div> <button type="submit" data-run>
// </form></bulk-form>
// Ctrl/Cmd+Enter sends. While nothing would happen the button says so instead of sending.

import { load } from "./htmx-config.js";
import "./topic-editor.js";
import "./topic-picker.js";
import { announce } from "./page.js";

const WAIT_MS = 150;

class BulkForm extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.topics = this.querySelector("[data-topics]");
    this.addEventListener("change", () => this.later());
    this.addEventListener("lines-changed", () => this.later());
    this.addEventListener("topic-escape", () => this.closest("dialog")?.close());
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.querySelector("[data-run]").click();
    });
    this.addEventListener("click", (event) => {
      const why = this.querySelector("[data-nothing]");
      if (!event.target.closest("[data-run]") || !why || !this.form.dataset.previewUrl) return;
      event.preventDefault();
      announce(why.textContent);
    });
    if (this.querySelector("[data-lines] [data-topic]")) this.later(); // chosen while this module was on its way
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  later() {
    if (this.topics) this.topics.hidden = this.form.elements.topics_mode.value === "keep";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(), WAIT_MS);
  }

  async preview() {
    const url = this.form.dataset.previewUrl;
    if (!url) return;
    await load("POST", url, { source: this, target: "#bulk-preview", swap: "outerHTML", values: new FormData(this.form) });
    const nothing = this.querySelector("[data-nothing]");
    this.querySelector("[data-run]")?.setAttribute("aria-disabled", String(Boolean(nothing)));
  }
}

customElements.define("bulk-form", BulkForm);
