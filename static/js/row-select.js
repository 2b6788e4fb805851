// Which rows are selected, and the bar that says what can be done with them.
// <row-selection data-count-url="…" data-one data-many data-all data-most data-none data-select-all hidden>
//   <strong data-selected></strong> <button data-select-everything> <button data-select-none>
//   <form hx-post="…"><input name="all"><input name="ids"><input name="besides"><input name="query"><input name="start">
//     <button type="submit" data-start="topics">…</button></form>
// </row-selection>
// Each row has <input type="checkbox" data-pick>, the head of the list <input type="checkbox" data-pick-all>.
// Either a set of ticked ids, or all that match the filters except some: then no ids travel but the filter itself.
// Keys on a row: Space, Shift+arrows, Ctrl/Cmd+A, Escape, B. With the mouse: Shift+click selects what lies between.
// The set lives here, not in the page: rows far off the screen are not in the page.

import { idsOf } from "./feed-window.js";
import { onAfterRequest, onSettled } from "./htmx-config.js";
import { announce, isTyping, shortcutsOn, toast } from "./page.js";
import { number } from "./texts.js";

const MOST = 10000;
const pickOf = (row) => row.querySelector("[data-pick]");

class RowSelection extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.query = location.search;
    this.total = null;
    this.forget();
    this.listen(document, "click", (event) => this.onClick(event));
    this.listen(document, "mousedown", (event) => this.onMouseDown(event));
    this.listen(document, "change", (event) => event.target.matches("[data-pick-all]") && (event.target.checked ? this.selectAll() : this.clear()));
    this.listen(document, "keydown", (event) => this.onEscape(event), true);
    this.listen(document, "keydown", (event) => this.onKey(event));
    this.listen(document.body, "bulk-done", () => this.clear(false));
    this.addEventListener("click", (event) => {
      const start = event.target.closest("[data-start]");
      if (start) this.fill(start.dataset.start);
      else if (event.target.closest("[data-select-everything]")) this.selectAll();
      else if (event.target.closest("[data-select-none]")) this.clear();
    });
    this.paint();
  }

  disconnectedCallback() {
    for (const [target, name, run, capture] of this.listeners) target.removeEventListener(name, run, capture);
  }

  listen(target, name, run, capture = false) {
    (this.listeners ??= []).push([target, name, run, capture]);
    target.addEventListener(name, run, capture);
  }

  get feed() {
    return document.querySelector("row-feed");
  }

  /** Ids in the order of the list; chunks far off the screen know theirs. */
  get order() {
    return [...(this.feed?.querySelectorAll("[data-chunk]") ?? [])].flatMap((chunk) => {
      const rows = [...chunk.querySelectorAll("[data-row]")].map((row) => row.dataset.row);
      return rows.length ? rows : idsOf(chunk);
    });
  }

  has(id) {
    return this.all ? !this.besides.has(id) : this.ids.has(id);
  }

  get any() {
    return this.all || this.ids.size > 0;
  }

  set(id, on) {
    if (this.all) this.besides[on ? "delete" : "add"](id);
    else this.ids[on ? "add" : "delete"](id);
  }

  setRange(from, to, on) {
    const order = this.order;
    const [a, b] = [order.indexOf(from), order.indexOf(to)].sort((x, y) => x - y);
    for (const id of a < 0 ? [to] : order.slice(a, b + 1)) this.set(id, on);
  }

  forget() {
    this.all = false;
    this.ids = new Set();
    this.besides = new Set();
    this.anchor = null;
  }

  clear(speak = true) {
    if (!this.any) return;
    // The bar goes: focus must not go with it.
    if (this.contains(document.activeElement)) this.feed?.querySelector("[data-row]")?.focus({ preventScroll: true });
    this.forget();
    this.paint();
    if (speak) announce(this.dataset.none);
  }

  async selectAll() {
    this.forget();
    this.all = true;
    this.paint();
    await this.count();
    this.changed();
  }

  changed() {
    if (this.ids.size > MOST) {
      for (const id of [...this.ids].slice(MOST)) this.ids.delete(id);
      toast(this.dataset.most, { kind: "error" });
    }
    this.paint();
    announce(this.any ? this.sentence : this.dataset.none);
  }

  /** How many "all" are, asked once per filter. */
  async count() {
    if (this.counted === this.query) return;
    const query = this.query;
    this.counted = query;
    this.total = null;
    try {
      const answer = await fetch(`${this.dataset.countUrl}${query}`, { headers: { Accept: "application/json" } });
      if (answer.ok && query === this.query) this.total = (await answer.json()).n;
      else this.counted = null;
    } catch {
      this.counted = null; // no connection: the button works without its number
    }
    this.paint();
  }

  get sentence() {
    const n = this.all ? (this.total === null ? null : Math.max(0, this.total - this.besides.size)) : this.ids.size;
    const shown = n === null ? "…" : number(n);
    if (n === 1) return this.dataset.one;
    return (this.all && !this.besides.size ? this.dataset.all : this.dataset.many).replace("{n}", shown);
  }

  /** After every swap: fresh rows get their ticks; another filter means another selection. */
  paint() {
    if (location.search !== this.query) this.follow();
    for (const row of this.feed?.querySelectorAll("[data-row]") ?? []) {
      const on = this.has(row.dataset.row);
      const pick = pickOf(row);
      if (pick) pick.checked = on;
      row.toggleAttribute("data-picked", on);
    }
    const head = document.querySelector("[data-pick-all]");
    if (head) {
      head.checked = this.all && !this.besides.size;
      head.indeterminate = this.any && !head.checked;
    }
    this.hidden = !this.any;
    if (this.hidden) return;
    if (this.counted !== this.query) this.count();
    const text = this.sentence;
    const shown = this.querySelector("[data-selected]");
    if (shown.textContent !== text) shown.textContent = text;
    const everything = this.querySelector("[data-select-everything]");
    everything.hidden = this.all && !this.besides.size;
    everything.textContent = this.dataset.selectAll.replace("{n}", this.total === null ? "" : number(this.total));
  }

  follow() {
    const kept = (query) => {
      const found = new URLSearchParams(query);
      found.delete("sort");
      return found.toString();
    };
    const had = this.any;
    if (this.all || kept(this.query) !== kept(location.search)) this.forget();
    this.query = location.search;
    if (had && !this.any) announce(this.dataset.none);
  }

  fill(start) {
    const fields = this.form.elements;
    fields.all.value = this.all ? "1" : "";
    fields.ids.value = this.all ? "" : [...this.ids].join(",");
    fields.besides.value = [...this.besides].join(",");
    fields.query.value = this.query.slice(1);
    fields.start.value = start;
  }

  onMouseDown(event) {
    // Shift and click would select text.
    if (event.shiftKey && event.target.closest("row-feed [data-row]") && !event.target.closest("a, button")) event.preventDefault();
  }

  onClick(event) {
    const row = event.target.closest?.("row-feed [data-row]");
    if (!row || !pickOf(row)) return;
    const id = row.dataset.row;
    if (event.target.matches("[data-pick]")) {
      const on = event.target.checked;
      if ((event.shiftKey || this.shift) && this.anchor) this.setRange(this.anchor, id, on);
      else this.set(id, on);
      this.shift = false;
    } else if (event.target.closest(".row__pick")) {
      this.shift = event.shiftKey; // the box gets its own click next
      return;
    } else if (event.shiftKey && !event.target.closest("a, button, input, label, select")) {
      this.setRange(this.anchor ?? id, id, true);
    } else return;
    this.anchor = id;
    this.changed();
  }

  onEscape(event) {
    if (event.key !== "Escape" || !this.any || document.querySelector("dialog[open], side-panel[data-row-open]")) return;
    if (event.target.closest?.("row-feed, row-selection, .feed-head")) this.clear();
  }

  onKey(event) {
    if (document.querySelector("dialog[open]")) return;
    const row = event.target.matches?.("row-feed [data-row]") ? event.target : null;
    if (row && pickOf(row)) this.onRowKey(event, row);
    if (event.key === "b" && this.any && shortcutsOn() && !isTyping(event)) {
      event.preventDefault();
      this.querySelector("[data-start]").click();
    }
  }

  onRowKey(event, row) {
    const id = row.dataset.row;
    if (event.key === " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      const on = !this.has(id);
      if (event.shiftKey && this.anchor) this.setRange(this.anchor, id, on);
      else this.set(id, on);
      this.anchor = id;
      this.changed();
    } else if (event.shiftKey && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      // row-feed.js has moved the focus already.
      const to = document.activeElement?.closest("[data-row]")?.dataset.row ?? id;
      if (!this.anchor || !this.has(id)) this.anchor = id;
      const order = this.order;
      const [start, from, at] = [this.anchor, id, to].map((one) => order.indexOf(one));
      if (Math.abs(at - start) < Math.abs(from - start)) this.set(id, false);
      this.setRange(this.anchor, to, true);
      this.changed();
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
      event.preventDefault();
      this.selectAll();
    }
  }
}

customElements.define("row-selection", RowSelection);

onSettled(() => document.querySelector("row-selection")?.paint());
// Cancelling a bulk job, or trying it again, shows at once.
onAfterRequest(({ element }) => element.matches?.("[data-bulk-cancel]") && document.body.dispatchEvent(new CustomEvent("bulk-changed")));
