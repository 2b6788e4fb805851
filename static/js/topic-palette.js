// All topics of focus mode: those used last on top, and what a few letters mean, best first.
// <topic-palette data-recent="12,5">
//   <input type="search" role="combobox" aria-controls="palette-list" …>
//   <div role="listbox" id="palette-list">
//     <div role="group" data-results hidden><div data-results-title data-recent-title="…" data-found-title="…"></div></div>
//     <div role="group" data-category-group> <div role="option" id="palette-12" data-id="12" data-label="Speed"
//          data-category="Delivery" data-color="teal" data-sentiment="1"> … <span data-face="-1"></span></div> … </div>
//   </div>
//   <p data-none hidden>No topic matches.</p>
// </topic-palette>
// Speaks like topic-picker.js: "topic-pick" {id, label, category, color, hasSentiment, sentiment?}, "topic-escape".
// Arrow keys move, Enter picks, digits pick the match with that number, Escape empties the search.

import { prepare, rank } from "./topic-match.js";

const N_RECENT = 6;
const N_NUMBERED = 9;

class TopicPalette extends HTMLElement {
  connectedCallback() {
    this.input = this.querySelector("input");
    this.results = this.querySelector("[data-results]");
    this.heading = this.querySelector("[data-results-title]");
    this.options = new Map([...this.querySelectorAll("[data-category-group] [role=option]")].map((option) => [option.dataset.id, option]));
    this.topics = [...this.options.values()].map((option) => prepare(option.dataset));
    this.recent = (this.dataset.recent || "").split(",").filter((id) => this.options.has(id));
    this.applied = new Set();
    if (!this.input) return;
    this.input.addEventListener("input", () => this.filter());
    // In one column the matches are below the field: room for them.
    this.input.addEventListener("focus", () => matchMedia("(max-width: 56rem)").matches && this.scrollIntoView({ block: "start" }));
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("mousedown", (event) => event.target.closest("[role=option]") && event.preventDefault());
    this.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.pick(option, event.target.closest("[data-face]")?.dataset.face);
    });
    this.filter();
    this.closest("topic-editor")?.paint?.();
  }

  get query() {
    return this.input.value.trim();
  }

  clear() {
    if (!this.input.value) return;
    this.input.value = "";
    this.filter();
  }

  /** The topics of the row on the card: proposed ones come first among equals. */
  propose(ids) {
    this.proposed = new Set(ids);
  }

  filter() {
    const found = this.query ? rank(this.input.value, this.topics, { proposed: this.proposed, recent: this.recent }).map((one) => one.topic.id) : this.recent.slice(0, N_RECENT);
    this.draw(found, Boolean(this.query));
    for (const group of this.querySelectorAll("[data-category-group]")) group.hidden = Boolean(this.query);
    const none = this.querySelector("[data-none]");
    if (none) none.hidden = this.query ? found.length > 0 : this.options.size > 0;
    this.activate(this.query ? this.results.querySelector("[role=option]") : null);
  }

  /** Copies of the options, in order: the list of all topics stays as it is. */
  draw(ids, numbered) {
    this.results.hidden = !ids.length;
    this.heading.textContent = numbered ? this.heading.dataset.foundTitle : this.heading.dataset.recentTitle;
    const copies = ids.slice(0, 40).map((id, index) => {
      const source = this.options.get(id);
      const copy = source.cloneNode(true);
      copy.id = `${source.id}-top`;
      const label = copy.querySelector(".picker__label");
      const category = document.createElement("span");
      category.className = "chip__category";
      category.textContent = source.dataset.category;
      label.prepend(category, " ");
      if (numbered && index < N_NUMBERED) {
        const hint = document.createElement("kbd");
        hint.textContent = String(index + 1);
        copy.prepend(hint);
      }
      if (source.dataset.color.startsWith("#")) copy.style.setProperty("--c", source.dataset.color);
      return copy;
    });
    this.results.replaceChildren(this.heading, ...copies);
    this.mark();
  }

  get shown() {
    return [...this.querySelectorAll("[role=option]")].filter((option) => !option.closest("[hidden]"));
  }

  activate(option) {
    this.active?.classList.remove("is-active");
    this.active = option ?? null;
    if (!option) return this.input.removeAttribute("aria-activedescendant");
    option.classList.add("is-active");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  onKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const shown = this.shown;
      const at = shown.indexOf(this.active);
      const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? shown.length - 1 : at - 1;
      if (shown.length) this.activate(shown[(next + shown.length) % shown.length]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.active) this.pick(this.active);
      else if (!this.query) this.escape();
    } else if (/^[1-9]$/.test(event.key) && this.pickNumber(Number(event.key))) {
      event.preventDefault();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      event.preventDefault();
      if (this.query) this.clear();
      else this.escape();
    }
  }

  escape() {
    this.dispatchEvent(new CustomEvent("topic-escape", { bubbles: true }));
  }

  /** Pick the match with this number; false where there is none. */
  pickNumber(number) {
    const option = this.query ? this.results.querySelectorAll("[role=option]")[number - 1] : null;
    if (!option || number > N_NUMBERED) return false;
    this.pick(option);
    return true;
  }

  pick(option, face) {
    const { id, label, category, color, sentiment } = option.dataset;
    const detail = { id, label, category, color, hasSentiment: sentiment === "1" };
    if (face !== undefined) detail.sentiment = face;
    this.clear();
    this.dispatchEvent(new CustomEvent("topic-pick", { bubbles: true, detail }));
  }

  /** Topics of a review that was just made: the last used come first from now on. */
  used(ids) {
    const known = ids.filter((id) => this.options.has(id));
    if (!known.length) return;
    this.recent = [...new Set([...known, ...this.recent])].slice(0, 2 * N_RECENT);
    if (!this.query) this.draw(this.recent.slice(0, N_RECENT), false);
  }

  /** Mark the topics that the row has. */
  show(ids) {
    this.applied = ids;
    this.mark();
  }

  mark() {
    for (const option of this.querySelectorAll("[role=option]")) {
      const on = this.applied.has(option.dataset.id);
      if (option.hasAttribute("data-applied") === on) continue;
      option.setAttribute("aria-selected", String(on));
      option.toggleAttribute("data-applied", on);
    }
  }
}

customElements.define("topic-palette", TopicPalette);
