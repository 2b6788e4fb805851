// One tick for all: <check-all><input type="checkbox" data-check-all> <input type="checkbox" name="confirm" value="1">…</check-all>

class CheckAll extends HTMLElement {
  connectedCallback() {
    this.addEventListener("change", (event) => {
      if (event.target === this.all) for (const box of this.boxes) box.checked = this.all.checked;
      this.paint();
    });
    this.paint();
  }

  get all() {
    return this.querySelector("[data-check-all]");
  }

  get boxes() {
    return [...this.querySelectorAll("input[type=checkbox]:not([data-check-all])")];
  }

  paint() {
    const on = this.boxes.filter((box) => box.checked).length;
    this.all.checked = on > 0 && on === this.boxes.length;
    this.all.indeterminate = on > 0 && on < this.boxes.length;
  }
}

customElements.define("check-all", CheckAll);
