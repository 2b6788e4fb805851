// The topic collection: search, renaming by F2, and keeping all that when the server draws it again.
// <topic-board data-column="3">
//   <input type="search" data-search>
//   <section data-group> <div data-rename-url="…">…</div>
//     <ul><li data-topic data-find="Speed Delivery" data-rename-url="…">…</li></ul></section>
//   <p data-none hidden>No topic matches. <button data-new-from-search data-url="…">Add it</button></p>
// </topic-board>
// "/" in the list goes to the search; Escape there empties it. Renaming itself: topic-rename.js.

import { load } from "./htmx-config.js";
import { announce } from "./page.js";
import "./topic-form.js"; // its dialogs open from here: have it ready
import { restoreAdd } from "./topic-add.js";
import { fit, prepare } from "./topic-match.js";
import { restoreRename, startRename } from "./topic-rename.js";
import { ngettext } from "./texts.js";

const queries = new Map(); // what was searched for, by column: a fresh board goes on with it

class TopicBoard extends HTMLElement {
  connectedCallback() {
    this.search = this.querySelector("[data-search]");
    if (this.search) {
      this.search.value ||= queries.get(this.dataset.column) ?? ""; // typed before this file was there: keep it
      this.search.addEventListener("input", () => this.filter());
      this.search.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !this.search.value) return;
        event.stopPropagation();
        this.search.value = "";
        this.filter();
      });
      if (this.search.value) this.filter({ quiet: true });
    }
    this.addEventListener("click", (event) => {
      const rename = event.target.closest("[data-rename]");
      if (rename) startRename(rename.closest("[data-rename-url]"));
      const add = event.target.closest("[data-new-from-search]");
      if (add) this.addFromSearch(add);
    });
    this.addEventListener("keydown", (event) => {
      const place = event.target.closest("[data-rename-url]");
      if (event.key === "F2" && place) {
        event.preventDefault();
        startRename(place);
      } else if (event.key === "/" && this.search && !event.target.matches("input, textarea")) {
        event.preventDefault();
        event.stopPropagation();
        this.search.focus();
      }
    });
    restoreRename(this);
    restoreAdd(this);
  }

  filter({ quiet = false } = {}) {
    const query = this.search.value.trim();
    queries.set(this.dataset.column, this.search.value);
    let shown = 0;
    for (const group of this.querySelectorAll("[data-group]")) {
      let inGroup = 0;
      for (const topic of group.querySelectorAll("[data-topic]")) {
        topic.hidden = Boolean(query) && fit(query, prepare({ label: topic.dataset.name ?? topic.dataset.find, category: topic.dataset.find })) <= 12;
        if (!topic.hidden) inGroup += 1;
      }
      group.hidden = Boolean(query) && !inGroup;
      shown += inGroup;
    }
    const none = this.querySelector("[data-none]");
    if (none) none.hidden = !query || shown > 0;
    if (!quiet && query) announce(ngettext("%(n)s topic", "%(n)s topics", shown));
  }

  addFromSearch(button) {
    const label = encodeURIComponent(this.search.value.trim());
    this.search.value = "";
    this.filter({ quiet: true });
    load("GET", `${button.dataset.url}?label=${label}`, { target: "#dialog", swap: "innerHTML", source: this });
  }
}

customElements.define("topic-board", TopicBoard);
