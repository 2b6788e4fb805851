// The dialog of a topic or category: shows only the fields that matter for what is chosen.
// <topic-form> <select name="category">…<option value="new"></select> <div data-new-category hidden>…</div>
//   <input type="checkbox" name="sentiment_enabled"> <div data-only-sentiment>…</div>
//   <input type="radio" name="color" value="own"> <span data-own-color hidden>…</span> </topic-form>
// Closing the dialog drops what was typed (drafts.js), unless the person was signed out and has to close it to sign in.

import { forget } from "./drafts.js";

class TopicForm extends HTMLElement {
  connectedCallback() {
    const form = this.closest("form");
    this.addEventListener("change", (event) => this.show(event.target));
    form?.addEventListener("draft-restored", () => this.show());
    this.closest("dialog")?.addEventListener("close", () => {
      if (form && !document.querySelector('[data-banner="session"]')) forget(form);
    });
    this.show();
  }

  show(changed = null) {
    const category = this.querySelector("[name=category]");
    const fresh = this.querySelector("[data-new-category]");
    if (category && fresh) {
      fresh.hidden = category.value !== "new";
      if ((changed ?? document.activeElement) === category && !fresh.hidden) fresh.querySelector("input")?.focus();
    }
    const sentiment = this.querySelector("[name=sentiment_enabled]");
    if (sentiment) for (const part of this.querySelectorAll("[data-only-sentiment]")) part.hidden = !sentiment.checked;
    const own = this.querySelector("[data-own-color]");
    if (own) own.hidden = this.querySelector("[name=color]:checked")?.value !== "own";
  }
}

customElements.define("topic-form", TopicForm);
