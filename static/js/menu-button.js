// A button that shows a menu or a small form under itself.
// <menu-button><button aria-haspopup="true" aria-expanded="false" aria-controls="m1">…</button><div class="menu" id="m1" hidden>…</div></menu-button>
// Down arrow opens; arrows, Home and End move between items; Escape, Tab out and a click elsewhere close.
// data-keep-open: stays open when something inside is clicked (small forms); [data-menu-close] closes it.

const EDGE = 8;

class MenuButton extends HTMLElement {
  connectedCallback() {
    this.button = this.querySelector(":scope > button");
    this.menu = this.querySelector(":scope > .menu");
    if (!this.button || !this.menu) return;
    this.button.addEventListener("click", () => this.toggle(this.menu.hidden));
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.contains(event.relatedTarget)) this.toggle(false);
    });
    this.menu.addEventListener("click", (event) => {
      if (event.target.closest("[data-menu-close]")) this.toggle(false, true);
      const item = event.target.closest("a, button");
      if (item && !("keepOpen" in this.dataset) && !item.closest("theme-switch, .segmented, form")) this.toggle(false, true);
    });
    this.outside = (event) => !this.contains(event.target) && this.toggle(false);
    document.addEventListener("pointerdown", this.outside);
  }

  disconnectedCallback() {
    document.removeEventListener("pointerdown", this.outside);
  }

  get items() {
    return [...this.menu.querySelectorAll("a, button, input, select, summary")].filter((item) => !item.disabled && item.offsetParent);
  }

  toggle(open, focusButton = false) {
    if (open === !this.menu.hidden) return;
    this.menu.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.place();
    else if (focusButton) this.button.focus();
    this.dispatchEvent(new CustomEvent(open ? "menu-open" : "menu-closed", { bubbles: true }));
  }

  /** Keep the menu on the screen: at the other end of the button where there is room, else moved as far as it takes. */
  place() {
    this.menu.classList.remove("menu--up");
    this.menu.style.translate = "";
    let box = this.menu.getBoundingClientRect();
    if (box.left < EDGE) this.menu.classList.add("menu--start");
    if (box.right > innerWidth - EDGE) this.menu.classList.remove("menu--start");
    if (box.bottom > innerHeight - EDGE && this.getBoundingClientRect().top > box.height) this.menu.classList.add("menu--up");
    if (getComputedStyle(this.menu).position === "fixed") return; // a sheet: as wide as the screen
    box = this.menu.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const shift = Math.max(EDGE - box.left, 0) || Math.min(wide - EDGE - box.right, 0);
    if (shift) this.menu.style.translate = `${shift}px`;
  }

  onKey(event) {
    if (event.key === "Escape" && !this.menu.hidden) {
      event.stopPropagation();
      this.toggle(false, true);
      return;
    }
    const typing = event.target.matches("input:not([type=checkbox], [type=radio]), select, textarea");
    if (typing || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    this.toggle(true);
    const items = this.items;
    const at = items.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? items.length - 1 : at - 1, Home: 0, End: items.length - 1 }[event.key];
    items[(next + items.length) % items.length]?.focus();
  }
}

customElements.define("menu-button", MenuButton);
