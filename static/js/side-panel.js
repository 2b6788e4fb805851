// The right third: tabs, or one row when a row is opened.
// <side-panel><div data-tabs>…</div><div id="row-panel" data-row-panel hidden></div></side-panel>
// Listens for "row-open" {id, url}. In the panel: [data-close-row], Escape, Ctrl/Cmd+Enter = review and next
// (the button [data-review-next]), [data-step="1"] / [data-step="-1"] for the neighbours,
// <a data-open-row="12" href="/…/rows/12/"> for another row. J / K = next / previous row, with Alt also while typing.
// The row's form saves by itself after a change ("lines-changed" → "save-row"); see rows/_row_panel.html.

import { activate, load, onSettled } from "./htmx-config.js";
// A row brings these: loaded now, so that keys pressed right after opening it are heard.
import { announce, isTyping, shortcutsOn } from "./page.js";
import { gettext } from "./texts.js";

const SAVE_MS = 3000;

class SidePanel extends HTMLElement {
  connectedCallback() {
    this.tabs = this.querySelector("[data-tabs]");
    this.panel = this.querySelector("[data-row-panel]");
    this.onOpen = (event) => this.open(event.detail);
    this.onKey = (event) => this.key(event);
    document.addEventListener("row-open", this.onOpen);
    document.addEventListener("keydown", this.onKey);
    this.onShow = (event) => {
      if (event.target.closest("[data-show-side]")) {
        this.toggleAttribute("data-shown", true);
        this.querySelector("[role=tab][aria-selected=true]")?.focus();
      }
    };
    document.addEventListener("click", this.onShow);
    this.addEventListener("click", (event) => {
      if (event.target.closest("[data-hide-side]")) {
        this.toggleAttribute("data-shown", false);
        document.querySelector("[data-show-side]")?.focus();
      }
      if (event.target.closest("[data-close-row]")) this.close();
      const step = event.target.closest("[data-step]");
      if (step) this.step(Number(step.dataset.step));
      const link = event.target.closest("[data-open-row]");
      if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        this.feed?.mark(link.dataset.openRow);
        this.open({ id: link.dataset.openRow, url: link.getAttribute("href") });
      }
    });
    this.addEventListener("lines-changed", () => this.save());
    this.addEventListener("tabs-wanted", () => {
      this.close();
      this.toggleAttribute("data-shown", true);
    });
    this.addEventListener("rows-wanted", () => this.toggleAttribute("data-shown", false));
    this.next = () => this.step(1);
    this.changed = (event) => {
      const { ids = [], source } = event.detail ?? {};
      if (source === "panel" || !ids.map(String).includes(this.row)) return;
      if (source !== "live" || !this.panel.querySelector("topic-picker input")?.value) this.reload();
    };
    this.reloaded = () => this.reload();
    document.body.addEventListener("row-reviewed-next", this.next);
    document.body.addEventListener("row-changed", this.changed);
    this.rowsChanged = () => !this.panel.querySelector("topic-picker input")?.value && this.reload();
    document.body.addEventListener("topics-changed", this.reloaded);
    this.created = (event) => (this.made = this.isOpen ? event.detail : null);
    onSettled((target) => target === this.panel && this.takeNew());
    document.body.addEventListener("topic-created", this.created);
    document.body.addEventListener("rows-changed", this.rowsChanged);
  }

  disconnectedCallback() {
    document.removeEventListener("row-open", this.onOpen);
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("click", this.onShow);
    document.body.removeEventListener("row-reviewed-next", this.next);
    document.body.removeEventListener("row-changed", this.changed);
    document.body.removeEventListener("topics-changed", this.reloaded);
    document.body.removeEventListener("topic-created", this.created);
    document.body.removeEventListener("rows-changed", this.rowsChanged);
  }

  save() {
    const form = this.panel.querySelector("form");
    if (!form) return;
    activate(form);
    form.dispatchEvent(new CustomEvent("save-row"));
  }

  /** The feed is replaced whenever the filters change. */
  get feed() {
    return document.querySelector("row-feed");
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  reload() {
    if (!this.isOpen || !this.url) return;
    load("GET", this.url, { target: this.panel, swap: "innerHTML", source: this.panel });
  }

  /** A topic made from the open row is meant for that row: it is put there once the panel knows it. */
  takeNew() {
    if (!this.made) return;
    const { id, label, category, color, sentiment } = this.made;
    this.made = null;
    this.panel.querySelector("topic-editor")?.pick({ id: String(id), label, category, color, hasSentiment: sentiment });
  }

  /** What was changed last in the open row is on its way: its answer must not meet another row. */
  async saved() {
    this.panel.dispatchEvent(new CustomEvent("row-leave", { bubbles: true }));
    for (let waited = 0; waited < SAVE_MS && this.panel.classList.contains("htmx-request"); waited += 20)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async open({ id, url }) {
    this.row = id;
    this.url = url;
    if (this.isOpen) await this.saved();
    if (this.row !== id) return; // a faster key
    this.tabs.hidden = true;
    this.panel.hidden = false;
    this.toggleAttribute("data-row-open", true);
    await load("GET", url, { target: this.panel, swap: "innerHTML", source: this.panel });
    // Whoever went on into the row meanwhile stays where they are.
    if (!this.panel.contains(document.activeElement)) this.panel.querySelector("[data-panel-focus]")?.focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    this.panel.hidden = true;
    this.panel.replaceChildren();
    this.tabs.hidden = false;
    this.toggleAttribute("data-row-open", false);
    const row = document.getElementById(`row-${this.row}`);
    this.feed?.mark("");
    row?.focus({ preventScroll: true });
  }

  async step(by) {
    const row = await this.feed?.neighbour(this.row, by);
    if (!row) {
      announce(by > 0 ? gettext("This is the last row.") : gettext("This is the first row."));
      return;
    }
    row.scrollIntoView({ block: "nearest" });
    this.feed.open(row);
  }

  key(event) {
    if (event.key === "Escape" && this.hasAttribute("data-shown") && !this.isOpen) return this.toggleAttribute("data-shown", false);
    if (!this.isOpen || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && !event.defaultPrevented) this.close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.panel.querySelector("[data-review-next]")?.click();
    } else if (event.code === "KeyJ" || event.code === "KeyK") {
      if (event.ctrlKey || event.metaKey || event.target.closest?.("[data-row]")) return; // there the list moves
      if (!event.altKey && (isTyping(event) || !shortcutsOn())) return;
      event.preventDefault();
      this.step(event.code === "KeyJ" ? 1 : -1);
    }
  }
}

customElements.define("side-panel", SidePanel);
