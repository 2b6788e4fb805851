// Focus mode: one row after the other, by keyboard, without losing a key.
// <focus-card data-undo-url="…" data-next-url="…">
//   <topic-editor> <div id="card"><form hx-post="…" hx-target="#card" hx-swap="innerHTML" data-queue="Row 12"> … </form></div>
//     <topic-picker>…</topic-picker> </topic-editor>
// </focus-card>
// 1-9, 0 toggle the lines · S / Shift+S next / previous sentiment of the current line · Up / Down current line
// letters search topics, Enter there picks · Enter confirms and shows the next · U undoes and goes back · N skips
// Keys pressed while the next card is on its way are kept and played on that card.
// Buttons: [data-confirm] [data-skip] [data-undo-last]

import { load, onAfterRequest, onBeforeRequest, onSettled } from "./htmx-config.js";
import "./topic-editor.js";
import "./topic-picker.js";
import { announce, isTyping, shortcutsOn } from "./page.js";

const COMMANDS = new Set(["s", "u", "n"]);

class FocusCard extends HTMLElement {
  connectedCallback() {
    this.keys = [];
    this.waiting = false;
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.addEventListener("topic-pick", () => this.card.focus({ preventScroll: true }));
    this.addEventListener("topic-escape", () => this.card.focus({ preventScroll: true }));
    this.addEventListener("click", (event) => {
      if (event.target.closest("[data-skip]")) this.skip();
      if (event.target.closest("[data-undo-last]")) this.undo();
    });
    this.addEventListener("review-kept", () => this.kept());
    this.goOn = () => this.held && this.next();
    document.body.addEventListener("reviews-saved", this.goOn);
    // A topic made from here is meant for the row on the card.
    this.created = ({ detail: { id, label, category, color, sentiment } }) => {
      this.editor?.pick({ id: String(id), label, category, color, hasSentiment: sentiment });
      setTimeout(() => this.card.focus({ preventScroll: true })); // after the dialog gave the focus back
    };
    document.body.addEventListener("topic-created", this.created);
    this.card.focus({ preventScroll: true });
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.onKey);
    document.body.removeEventListener("reviews-saved", this.goOn);
    document.body.removeEventListener("topic-created", this.created);
  }

  get card() {
    return this.querySelector("#card");
  }

  get form() {
    return this.querySelector("#card form");
  }

  get editor() {
    return this.querySelector("topic-editor");
  }

  get picker() {
    return this.querySelector("topic-picker");
  }

  /** A native key event: typed into a field it is the field's, else it is ours or waits. */
  key(event) {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z") {
      if (event.target.matches?.("input[type=search]") && event.target.value) return;
      event.preventDefault();
      this.play({ key: "u", shift: false });
      return;
    }
    if (isTyping(event)) return;
    const known = event.key.length === 1 || ["Enter", "ArrowUp", "ArrowDown", "Backspace"].includes(event.key);
    if (!known || event.key === "?" || event.key === " ") return;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary") && !event.target.closest("[data-confirm]")) return;
    if (["ArrowUp", "ArrowDown"].includes(event.key) && event.target.type === "radio") return;
    if (event.key.length === 1 && !shortcutsOn()) return;
    if (event.repeat && event.key === "Enter") return event.preventDefault();
    event.preventDefault();
    this.play({ key: event.key, shift: event.shiftKey });
  }

  play(stroke) {
    if (this.waiting) this.keys.push(stroke);
    else this.act(stroke);
  }

  act({ key, shift }) {
    // A search begun by a replayed letter goes on collecting letters and takes Enter for itself.
    if (document.activeElement === this.picker?.input && this.picker.query && key !== "?") {
      if (key === "Enter") return this.picker.active ? this.picker.pick(this.picker.active) : undefined;
      if (key.length === 1) return this.search(key);
    }
    const lower = key.toLowerCase();
    if (/^[0-9]$/.test(key)) return this.toggle((Number(key) + 9) % 10);
    if (key === "Enter") return this.confirm();
    if (key === "ArrowDown" || key === "ArrowUp") return this.move(key === "ArrowDown" ? 1 : -1);
    if (lower === "s") return this.cycle(shift);
    if (lower === "u") return this.undo();
    if (lower === "n") return this.skip();
    if (key === "/") return this.picker?.input.focus();
    if (key.length === 1 && /[\p{L}]/u.test(key) && !COMMANDS.has(lower)) this.search(key);
  }

  toggle(index) {
    const line = this.editor.lines[index];
    if (line) {
      this.editor.toggle(line);
      const name = line.querySelector(".line__label").textContent;
      announce(`${name} ${this.editor.box(line).checked ? "on" : "off"}`);
    }
  }

  move(by) {
    const lines = this.editor.lines;
    if (!lines.length) return;
    const at = lines.findIndex((line) => line.dataset.topic === this.editor.current);
    const line = lines[at < 0 ? (by > 0 ? 0 : lines.length - 1) : (at + by + lines.length) % lines.length];
    this.editor.current = line.dataset.topic;
    this.editor.paint();
    line.scrollIntoView({ block: "nearest" });
    announce(line.querySelector(".line__label").textContent);
  }

  cycle(back) {
    const on = this.editor.lines.filter((line) => this.editor.box(line).checked && line.querySelector("input[type=radio]"));
    const line = this.editor.line(this.editor.current ?? "") ?? on[0];
    if (!line || !this.editor.cycle(line, back)) {
      if (on[0] && on[0] !== line) this.editor.cycle(on[0], back);
      else announce("No topic with sentiment is chosen.");
      return;
    }
    announce(line.querySelector("input[type=radio]:checked")?.closest("label").textContent.trim() ?? "");
  }

  search(letter) {
    const input = this.picker?.input;
    if (!input) return;
    input.focus();
    input.value += letter;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  confirm() {
    if (this.held || !this.form) return;
    this.waiting = true;
    this.picker?.clear();
    this.card.focus({ preventScroll: true });
    this.form.requestSubmit();
  }

  async request(verb, url, values = {}) {
    if (!url) return;
    this.waiting = true;
    this.card.focus({ preventScroll: true });
    await load(verb, url, { target: this.card, swap: "innerHTML", source: this.card, values }).catch(() => {});
  }

  skip() {
    const form = this.form;
    if (!form || this.held) return;
    this.request("GET", this.dataset.nextUrl, { skip: [form.elements.skip?.value, form.elements.verbatim.value].filter(Boolean).join(",") });
  }

  undo() {
    if (this.held) return;
    this.request("POST", this.dataset.undoUrl, { skip: this.form?.elements.skip?.value ?? "" });
  }

  /** The review could not be sent and waits in the browser: hold this card until it got through. */
  kept() {
    this.held = true;
    this.waiting = false;
    this.keys = [];
    this.card.setAttribute("aria-busy", "true");
    announce("Not saved yet. The review waits in this browser until the server answers.");
  }

  next() {
    const skip = this.form?.elements.skip?.value ?? "";
    this.held = false;
    this.request("GET", this.dataset.nextUrl, { skip });
  }

  /** The new card is there: play the keys that were typed meanwhile. */
  settle() {
    this.waiting = false;
    this.card.removeAttribute("aria-busy");
    this.editor.current = null;
    this.editor.paint();
    if (!this.contains(document.activeElement) || document.activeElement === document.body) this.card.focus({ preventScroll: true });
    this.card.scrollTop = 0;
    while (this.keys.length && !this.waiting) this.act(this.keys.shift());
  }

  failed() {
    this.waiting = false;
    this.keys = [];
  }
}

customElements.define("focus-card", FocusCard);

onSettled((target) => {
  if (target?.id === "card") target.closest("focus-card")?.settle();
});

// Whatever is about to fill the card (also a choice made in a dialog): keys wait until htmx has read it.
onBeforeRequest(({ target }) => {
  const focus = target?.id === "card" && target.closest("focus-card");
  if (focus) focus.waiting = true;
});

onAfterRequest(({ element, ok }) => {
  const focus = element.closest?.("focus-card");
  if (focus && !ok && !focus.held) focus.failed();
});
