// A list with ticks, a tick for all of them, and a button that needs at least one.
// <tick-list> <input type="checkbox" data-tick-all> <button data-tick-act disabled>Delete…</button>
//   <input type="checkbox" name="topic" value="3" data-tick> … </tick-list>

class TickList extends HTMLElement {
  connectedCallback() {
    this.addEventListener("change", this);
    this.show();
  }

  disconnectedCallback() {
    this.removeEventListener("change", this);
  }

  handleEvent(event) {
    if (event.target.matches("[data-tick-all]")) this.ticks.forEach((one) => (one.checked = event.target.checked));
    this.show();
  }

  get ticks() {
    return [...this.querySelectorAll("[data-tick]")];
  }

  show() {
    const n = this.ticks.filter((one) => one.checked).length;
    const all = this.querySelector("[data-tick-all]");
    if (all) {
      all.checked = n > 0 && n === this.ticks.length;
      all.indeterminate = n > 0 && n < this.ticks.length;
    }
    this.querySelectorAll("[data-tick-act]").forEach((button) => (button.disabled = n === 0));
  }
}

customElements.define("tick-list", TickList);
