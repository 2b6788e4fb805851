// Proposed topics by keys, a new category, and where the focus goes when a line is gone.
// <proposal-list><ul><li data-proposal><form hx-post=… hx-trigger="change, submit"><input type="checkbox" data-tick>
//   <input data-name> <select data-new="value of “New category…”"> <input data-new-category hidden>
//   <button data-merge> <button data-discard></form></li></ul></proposal-list>
// At a tick box: arrows, Home and End move, Space ticks, F2 renames, M merges, Delete discards. In a name: Enter saves,
// Escape puts the old name back. A refused name goes back to what it was, and after a conflict the list is read again.

import { onSettled } from "./htmx-config.js";

class ProposalList extends HTMLElement {
  connectedCallback() {
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("change", (event) => this.onChange(event), true); // before the form hears of it
    this.addEventListener("click", (event) => this.onClick(event));
    this.addEventListener("request-failed", (event) => this.onRefused(event));
    onSettled((target) => target?.id === "proposals" && this.focusNext());
  }

  get ticks() {
    return [...this.querySelectorAll("[data-tick]")];
  }

  onKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event;
    const line = target.closest("[data-proposal]");
    if (line && key === "F2") {
      event.preventDefault();
      line.querySelector("[data-name]").select();
      line.querySelector("[data-name]").focus();
    } else if (target.matches("input:not([type=checkbox])")) this.onNameKey(event);
    else if (target.matches("[data-tick]")) this.onTickKey(event, line);
  }

  onNameKey(event) {
    const { key, target } = event;
    if (key === "Enter") {
      event.preventDefault();
      if (target.value !== target.defaultValue) target.dispatchEvent(new Event("change", { bubbles: true }));
      target.closest("[data-proposal]")?.querySelector("[data-tick]").focus();
    } else if (key === "Escape") {
      event.preventDefault();
      target.value = target.defaultValue;
      if (target.matches("[data-new-category]")) this.closeNew(target);
      target.closest("[data-proposal]")?.querySelector("[data-tick]").focus();
    }
  }

  onTickKey(event, line) {
    const ticks = this.ticks;
    const at = ticks.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ticks.length - 1 }[event.key];
    if (to !== undefined) ticks[Math.max(0, Math.min(to, ticks.length - 1))].focus();
    else if (event.key === "Delete") line.querySelector("[data-discard]").click();
    else if (event.key.toLowerCase() === "m") line.querySelector("[data-merge]").click();
    else return;
    event.preventDefault();
  }

  onChange(event) {
    const { target } = event;
    if (target.matches("[data-name]")) {
      if (target.value === target.defaultValue) return event.stopPropagation(); // Enter saved it, leaving the field is no news
      this.saved = { field: target, former: target.defaultValue };
      target.defaultValue = target.value;
      return;
    }
    if (target.matches("[data-new-category]") && !target.value.trim()) {
      event.stopPropagation();
      this.closeNew(target);
    }
    if (!target.matches("select[data-new]") || target.value !== target.dataset.new) return;
    event.stopPropagation(); // not before it has a name
    const name = target.form.querySelector("[data-new-category]");
    name.hidden = false;
    name.focus();
  }

  closeNew(name) {
    name.hidden = true;
    const select = name.form.querySelector("select[data-new]");
    select.selectedIndex = [...select.options].findIndex((option) => option.defaultSelected);
  }

  onClick(event) {
    const line = event.target.closest("[data-discard]")?.closest("[data-proposal]");
    if (line) this.next = this.ticks.indexOf(line.querySelector("[data-tick]"));
  }

  /** The line that had the focus is gone: go to the one in its place. */
  focusNext() {
    const ticks = this.ticks;
    if (this.next === undefined || !ticks.length) return;
    ticks[Math.max(0, Math.min(this.next, ticks.length - 1))].focus();
    this.next = undefined;
  }

  onRefused(event) {
    if (event.detail.reason !== "refused") return;
    this.next = undefined;
    if (event.detail.status === 409) {
      this.querySelector("#proposals")?.dispatchEvent(new CustomEvent("proposals-changed", { bubbles: true }));
      return;
    }
    const source = event.detail.config?.elt;
    if (event.detail.status !== 422 || !source?.matches("form")) return;
    if (this.saved?.field.form === source) {
      const { field, former } = this.saved;
      field.value = field.defaultValue = former;
      field.focus();
    }
    const select = source.querySelector("select[data-new]");
    if (select?.value === select?.dataset.new) source.querySelector("[data-new-category]")?.focus();
  }
}

customElements.define("proposal-list", ProposalList);
