// Filters that live in the address: a change sends the form, the feed is drawn anew, the URL follows.
// <filter-bar><form method="get" action="…" hx-get="…" hx-target="#feed-pane" hx-swap="outerHTML" hx-trigger="filters-changed" hx-push-url="true">
//   <input type="search" name="q"> <select name="sort">…</select> <input type="checkbox" name="topic" value="12"> …
// </form></filter-bar>
// Typing waits 300 ms; everything else goes at once. Empty fields are left out of the address
// (data-omit-empty). "grouping-changed" on body: the person's own choice counts now, not what the address said ("grouped").
// [data-clear="topic"] [data-clear-value="12"] empties one filter, [data-clear-all] all of them. "/" goes to the search field.

import { activate, onSettled } from "./htmx-config.js";
import { isTyping, shortcutsOn } from "./page.js";

const TYPING_MS = 300;

class FilterBar extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.addEventListener("input", (event) => {
      if (event.target.type === "search") this.later(TYPING_MS);
    });
    this.addEventListener("change", (event) => {
      const field = event.target;
      if (field.type !== "search" && field.name && field.form === this.form) this.later(0);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.later(0);
    });
    this.onClick = (event) => {
      const one = event.target.closest("[data-clear]");
      if (one) this.clear(one.dataset.clear, one.dataset.clearValue);
      else if (event.target.closest("[data-clear-all]")) this.clearAll();
    };
    document.addEventListener("click", this.onClick);
    this.onKey = (event) => {
      if (event.key !== "/" || isTyping(event) || !shortcutsOn()) return;
      event.preventDefault();
      this.querySelector("input[type=search]")?.focus();
    };
    document.addEventListener("keydown", this.onKey);
    this.regroup = () => {
      this.form.elements.grouped.value = "";
      this.later(0);
    };
    document.body.addEventListener("grouping-changed", this.regroup);
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.onClick);
    document.removeEventListener("keydown", this.onKey);
    document.body.removeEventListener("grouping-changed", this.regroup);
    clearTimeout(this.timer);
  }

  get fields() {
    return [...this.form.elements].filter((field) => field.name);
  }

  later(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), wait);
  }

  send() {
    activate(this.form);
    this.form.dispatchEvent(new CustomEvent("filters-changed"));
  }

  set(field, value) {
    if (["checkbox", "radio"].includes(field.type)) field.checked = value === undefined ? false : field.value === value;
    else field.value = "";
  }

  clear(name, value) {
    for (const field of this.fields) {
      if (field.name !== name) continue;
      if (field.type === "checkbox" && value !== undefined) {
        if (field.value === value) field.checked = false;
      } else if (field.type === "radio") field.checked = field.value === "";
      else this.set(field);
    }
    this.later(0);
  }

  clearAll() {
    for (const field of this.fields) {
      if (field.name === "sort" || field.dataset.keep) continue;
      if (field.type === "radio") field.checked = field.value === "";
      else this.set(field);
    }
    this.later(0);
  }
}

customElements.define("filter-bar", FilterBar);

// Panels beside the rows follow the filters.
onSettled((target) => {
  if (["feed-pane", "browse"].includes(target?.id)) document.body.dispatchEvent(new CustomEvent("filters-applied"));
});
