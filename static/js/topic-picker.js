// Finds a topic by a few letters and reports the choice; the list itself is drawn by the server.
// <topic-picker>
//   <input type="search" role="combobox" aria-controls="topics" aria-expanded="true" aria-autocomplete="list">
//   <div role="listbox" id="topics" aria-label="Topics">
//     <div role="group" data-color="teal" aria-labelledby="g1"><div class="picker__group" id="g1">Delivery</div>
//       <div role="option" id="t12" class="picker__option" data-id="12" data-label="Speed" data-category="Delivery"
//            data-color="teal" data-sentiment="1" aria-selected="false"><span class="picker__label">Speed</span> …</div></div>
//   </div>
//   <p data-none hidden>No topic matches.</p>
// </topic-picker>
// Event "topic-pick" {id, label, category, color, hasSentiment, sentiment?}; a face inside an option (data-face="-1")
// picks with that sentiment. Arrow keys move, Right and Left choose a face, Enter picks, Escape empties the search ("topic-escape" when empty).
// "ds", "del sp", "speed" and "sped" all find "Delivery: Speed". Where nothing matches, Enter presses [data-new-topic].

import { announce } from "./page.js";
import { fit, prepare } from "./topic-match.js";

class TopicPicker extends HTMLElement {
  connectedCallback() {
    this.input = this.querySelector("input");
    this.options = [...this.querySelectorAll("[role=option]")];
    if (!this.input) return;
    this.input.addEventListener("input", () => this.filter());
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("mousedown", (event) => event.target.closest("[role=option]") && event.preventDefault());
    this.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.pick(option, event.target.closest("[data-face]")?.dataset.face);
    });
    this.closest("topic-editor")?.paint?.();
  }

  get query() {
    return this.input.value;
  }

  clear() {
    this.input.value = "";
    this.filter();
  }

  filter() {
    const query = this.query;
    const scored = this.options.map((option) => [fit(query, prepare(option.dataset)), option]);
    const best = Math.max(0, ...scored.map(([points]) => points));
    for (const [points, option] of scored) {
      // Weak matches only help when there is nothing better.
      option.hidden = points === 0 || (points <= 10 && best > 10);
      option.dataset.points = points;
    }
    for (const group of this.querySelectorAll("[role=group]"))
      group.hidden = !group.querySelector("[role=option]:not([hidden])");
    const none = this.querySelector("[data-none]");
    if (none) none.hidden = best > 0;
    const top = scored.filter(([, option]) => !option.hidden).sort((a, b) => b[0] - a[0])[0]?.[1];
    this.activate(query.trim() ? top : null);
  }

  activate(option) {
    this.active?.classList.remove("is-active");
    this.choose(null);
    this.active = option ?? null;
    if (!option) return this.input.removeAttribute("aria-activedescendant");
    option.classList.add("is-active");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  /** Mark one face of the active topic; null: none. */
  choose(face) {
    this.face?.classList.remove("is-active");
    this.face = face ?? null;
    if (!face) return;
    face.classList.add("is-active");
    announce(`${this.active.dataset.label}: ${face.textContent.trim()}`);
  }

  /** Right begins with the first face, Left goes back and out; anywhere else the keys move in the text. */
  onSide(event) {
    const faces = [...(this.active?.querySelectorAll("[data-face]") ?? [])];
    const at = faces.indexOf(this.face);
    const isEnd = this.input.selectionStart === this.input.value.length;
    if (!faces.length || (event.key === "ArrowLeft" ? at < 0 : !isEnd)) return;
    event.preventDefault();
    this.choose(faces[event.key === "ArrowLeft" ? at - 1 : Math.min(at + 1, faces.length - 1)]);
  }

  onKey(event) {
    if (event.isComposing || event.altKey) return;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") return this.onSide(event);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const shown = this.options.filter((option) => !option.hidden);
      const at = shown.indexOf(this.active);
      const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? shown.length - 1 : at - 1;
      this.activate(shown[(next + shown.length) % shown.length]);
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (this.active) this.pick(this.active, this.face?.dataset.face);
      else if (this.query.trim()) this.parentElement.querySelector("[data-new-topic]")?.click();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      event.preventDefault();
      if (this.query) this.clear();
      else this.dispatchEvent(new CustomEvent("topic-escape", { bubbles: true }));
    }
  }

  pick(option, face) {
    const { id, label, category, color, sentiment } = option.dataset;
    const detail = { id, label, category, color, hasSentiment: sentiment === "1" };
    if (face !== undefined) detail.sentiment = face;
    this.clear();
    this.dispatchEvent(new CustomEvent("topic-pick", { bubbles: true, detail }));
  }

  /** Mark the topics that the row has. */
  show(ids) {
    for (const option of this.options) {
      const on = ids.has(option.dataset.id);
      option.setAttribute("aria-selected", String(on));
      option.toggleAttribute("data-applied", on);
    }
  }
}

customElements.define("topic-picker", TopicPicker);
