// Tabs whose panels are in the page or are loaded when first opened.
// <tab-list data-remember="assign-tabs">
//   <div class="tabs" role="tablist"><button role="tab" id="t-a" aria-controls="p-a" aria-selected="true">A</button>…</div>
//   <div role="tabpanel" id="p-a" aria-labelledby="t-a">…</div>
//   <div role="tabpanel" id="p-b" aria-labelledby="t-b" hidden hx-get="/b" hx-trigger="tab-open" hx-target="this" hx-swap="innerHTML">…</div>
// </tab-list>
// Arrow keys, Home and End move. A panel gets the event "tab-open" each time it is shown, so what it shows is fresh.
// data-remember keeps the chosen tab in this browser. A panel with data-refresh-on="rows-changed …" gets "tab-open"
// again when one of these events reaches body while it is shown; while somebody types in it, when they are done.
// <button type="button" data-open-tab="t-b">…</button> anywhere on the page shows that tab.

import { local } from "./storage.js";

const REFRESH_MS = 200;

class TabList extends HTMLElement {
  connectedCallback() {
    this.list = this.querySelector("[role=tablist]");
    if (!this.list) return;
    this.list.addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (tab) this.select(tab);
    });
    this.list.addEventListener("keydown", (event) => {
      const tabs = this.tabs;
      const at = tabs.indexOf(document.activeElement);
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (at < 0 || next === undefined) return;
      event.preventDefault();
      const tab = tabs[next % tabs.length];
      tab.focus();
      this.select(tab);
    });
    const stored = this.dataset.remember && local.get(`tab:${this.dataset.remember}`);
    const first = this.tabs.find((tab) => tab.id === stored) ?? this.tabs.find((tab) => tab.getAttribute("aria-selected") === "true");
    this.names = new Set([...this.querySelectorAll("[data-refresh-on]")].flatMap((panel) => panel.dataset.refreshOn.split(" ")));
    this.onEvent = (event) => this.refresh(event.type);
    for (const name of this.names) document.body.addEventListener(name, this.onEvent);
    this.onClick = (event) => {
      const button = event.target.closest?.("[data-open-tab]");
      const tab = button && this.tabs.find((one) => one.id === button.dataset.openTab);
      if (tab) this.reveal(tab);
    };
    document.addEventListener("click", this.onClick);
    // After htmx has read the attributes, so that "tab-open" is heard.
    if (first) setTimeout(() => this.isConnected && this.select(first, { remember: false }));
  }

  disconnectedCallback() {
    for (const name of this.names ?? []) document.body.removeEventListener(name, this.onEvent);
    document.removeEventListener("click", this.onClick);
    clearTimeout(this.timer);
  }

  refresh(name) {
    const panel = this.querySelector("[role=tabpanel]:not([hidden])");
    if (!panel?.dataset.refreshOn?.split(" ").includes(name)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!panel.offsetParent) return;
      const field = panel.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox], [type=radio]), textarea, select");
      if (field) document.activeElement.addEventListener("blur", () => this.refresh(name), { once: true });
      else panel.dispatchEvent(new CustomEvent("tab-open"));
    }, REFRESH_MS);
  }

  /** Show a tab for a button elsewhere: what covers the tabs makes room (see side-panel.js). */
  reveal(tab) {
    this.dispatchEvent(new CustomEvent("tabs-wanted", { bubbles: true }));
    this.select(tab);
    tab.focus();
  }

  get tabs() {
    return [...this.list.querySelectorAll("[role=tab]")];
  }

  select(chosen, { remember = true } = {}) {
    for (const tab of this.tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      if (panel) panel.hidden = !on;
      if (on) panel?.dispatchEvent(new CustomEvent("tab-open"));
    }
    if (remember && this.dataset.remember) local.set(`tab:${this.dataset.remember}`, chosen.id);
  }
}

customElements.define("tab-list", TabList);
