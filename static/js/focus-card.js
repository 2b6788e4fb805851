// Focus mode: one row after the other, by keyboard, without losing a key.
// <focus-card data-review-url="…" data-undo-url="…" data-next-url="…" data-release-url="…" data-version="7" data-say-…>
//   <topic-editor> <div id="card"><form data-row="12" data-label="Row 12"> … </form></div>
//     <topic-palette>…</topic-palette> </topic-editor>
// </focus-card> <template data-hold> what stands on the card while the server is away </template>
//
// Cards wait in a deck (focus-deck.js), so the next one is there at once; the review goes out behind it
// (review-queue.js). Where the deck is empty keys are kept and played on the card that comes.
// Keys: focus-keys.js. Buttons: [data-confirm] [data-skip] [data-undo-last] [data-unskip] [data-look-again]

import { showOffline, showSignedOut } from "./htmx-config.js";
import { Deck, request } from "./focus-deck.js";
import { FocusKeys } from "./focus-keys.js";
import { announce, banner, toast } from "./page.js";
import { enrichWith, post, queued, takeBack } from "./review-queue.js";
import "./topic-editor.js";
import "./topic-palette.js";
import { gettext } from "./texts.js";

const LOOK_S = 20; // renews the leases, brings the new order after an AI update
const AGAIN_S = 3;

class FocusCard extends HTMLElement {
  connectedCallback() {
    const { nextUrl, releaseUrl, version } = this.dataset;
    this.deck = new Deck({ nextUrl, releaseUrl, version });
    this.past = []; // {kind: "review" | "skip", card, entry}, the last one at the end
    this.keys = new FocusKeys(this);
    this.isHeld = false;
    this.current = this.form ? { id: this.form.elements.verbatim.value, node: this.form } : null;
    this.waiting = !this.current;
    this.stop = new AbortController();
    const on = (target, name, run) => target.addEventListener(name, run, { signal: this.stop.signal });
    on(document, "keydown", (event) => this.keys.press(event));
    on(this, "submit", (event) => (event.preventDefault(), this.waiting || this.confirm()));
    on(this, "click", (event) => this.click(event.target));
    on(this, "topic-pick", ({ detail }) => this.picked(detail.id));
    on(this, "topic-escape", () => this.card.focus({ preventScroll: true }));
    on(document.body, "topic-created", ({ detail }) => this.created(detail));
    on(document.body, "topics-changed", () => !this.current && this.topUp(true));
    on(document.body, "review-answer", ({ detail }) => this.answered(detail));
    on(document.body, "reviews-idle", ({ detail }) => (detail.state ? this.hold(detail.state) : this.topUp()));
    on(window, "pagehide", () => this.deck.release(this.shown));
    on(window, "pageshow", (event) => event.persisted && this.look());
    this.ticking = setInterval(() => document.visibilityState === "visible" && this.look(), 1000 * LOOK_S);
    enrichWith((entry) => this.body(entry));
    this.palette?.propose?.(this.lineIds);
    if (this.current && this.unsaved.includes(this.current.id)) this.advance(); // decided before the page was loaded anew
    this.card.focus({ preventScroll: true });
    if (this.current) this.topUp();
  }

  disconnectedCallback() {
    this.stop.abort();
    clearInterval(this.ticking);
    clearTimeout(this.again);
    enrichWith((entry) => entry.body);
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

  get palette() {
    return this.querySelector("topic-palette");
  }

  get lineIds() {
    return this.editor.lines.map((line) => line.dataset.topic);
  }

  /** Reviews that are not saved yet: their rows must not come again. */
  get unsaved() {
    return queued().filter((entry) => entry.verbatim && entry.state !== "stale").map((entry) => entry.verbatim);
  }

  get shown() {
    return [...new Set([...this.unsaved, this.current?.id].filter(Boolean))];
  }

  say(name) {
    return this.dataset[`say${name}`] ?? "";
  }

  click(target) {
    if (target.closest("[data-skip]")) this.skip();
    if (target.closest("[data-undo-last]")) this.undo();
    if (target.closest("[data-look-again]")) this.topUp(true);
    if (target.closest("[data-unskip]")) {
      this.deck.skipped = [];
      this.past = this.past.filter((act) => act.kind !== "skip");
      this.topUp(true);
    }
  }

  picked(id) {
    this.card.focus({ preventScroll: true });
    this.editor.line(id)?.scrollIntoView({ block: "nearest" });
  }

  /** A topic made from here is meant for the row on the card. */
  created({ id, label, category, color, sentiment }) {
    if (!this.current) return;
    this.editor.pick({ id: String(id), label, category, color, hasSentiment: sentiment });
    setTimeout(() => this.card.focus({ preventScroll: true })); // after the dialog gave the focus back
  }

  // --- what the person does ------------------------------------------------------------------------
  confirm() {
    const { current, form } = this;
    if (!current || !form) return;
    const data = new FormData(form);
    for (const name of ["csrfmiddlewaretoken", "skip"]) data.delete(name);
    const body = new URLSearchParams([...data, ["want", "0"]]).toString();
    this.palette?.used(data.getAll("topic"));
    this.deck.done.add(current.id);
    const entry = post({ url: this.dataset.reviewUrl, body, label: form.dataset.label, verbatim: current.id });
    this.past.push({ kind: "review", card: current, entry });
    this.advance();
  }

  skip() {
    if (!this.current || this.waiting) return;
    this.deck.skipped.push(this.current.id);
    this.past.push({ kind: "skip", card: this.current });
    this.advance();
  }

  /** Go back one step: as far as this page remembers by itself, beyond that the server knows. */
  async undo() {
    if (this.waiting && this.current) return; // another undo is on its way
    const last = this.past.at(-1);
    if (last?.kind === "skip") {
      this.deck.skipped = this.deck.skipped.filter((id) => id !== last.card.id);
      return this.goBack(this.past.pop().card);
    }
    if (last && takeBack(last.entry)) return this.goBack(this.past.pop().card);
    if (this.isHeld) return announce(this.say("Held"));
    this.waiting = true;
    await this.saved();
    if (this.isHeld) return this.settle();
    const answer = await request("POST", this.dataset.undoUrl, this.deck.wishes(this.shown, 0));
    if (answer.outcome !== "ok") {
      this.complain(answer);
      this.keys.forget();
      return this.current || this.card.querySelector("[data-end]") ? this.settle() : this.topUp(true);
    }
    this.undone(answer.html);
    document.body.dispatchEvent(new CustomEvent("ai-changed"));
  }

  /** The server took a review back: its card as the person left it, on the row's new revision. */
  undone(html) {
    const answer = new DOMParser().parseFromString(html, "text/html");
    const id = answer.querySelector("template[data-card]").dataset.card;
    this.deck.done.delete(id);
    const mine = this.past.findLast((act) => act.card.id === id)?.card;
    this.past = this.past.filter((act) => act.card.id !== id);
    const before = this.current;
    this.current = null;
    this.deck.cards = this.deck.cards.filter((card) => card.id !== id);
    const { progress } = this.deck.receive(html, this.shown);
    this.progress(progress);
    const card = this.deck.cards.splice(this.deck.cards.findIndex((one) => one.id === id), 1)[0];
    if (mine) for (const name of ["revision", "card"]) mine.node.elements[name].value = card.node.elements[name].value;
    if (before?.id !== id) this.deck.putBack(before);
    this.show(mine ?? card, this.say("Back"));
  }

  goBack(card) {
    this.deck.done.delete(card.id);
    this.deck.putBack(this.current);
    this.show(card, this.say("Back"));
  }

  /** Wait until every review is saved, or until the server turns out to be away. */
  saved() {
    if (!this.unsaved.length) return Promise.resolve();
    return new Promise((resolve) => document.body.addEventListener("reviews-idle", resolve, { once: true }));
  }

  // --- the cards -----------------------------------------------------------------------------------
  advance() {
    const next = this.deck.take();
    if (next) this.show(next);
    else {
      this.current = null;
      this.waiting = true;
      this.card.setAttribute("aria-busy", "true");
      if (this.isHeld) this.hold("later");
    }
    this.topUp();
  }

  show(card, before = "") {
    this.current = card;
    this.card.replaceChildren(card.node);
    this.card.scrollTop = 0;
    if (this.card.getBoundingClientRect().top < 0) window.scrollTo(0, 0); // on a phone the page scrolls
    this.editor.current = null;
    this.editor.paint();
    this.palette?.propose(this.lineIds);
    this.settle();
    const on = this.editor.lines.filter((line) => this.editor.box(line).checked).map((line) => line.querySelector(".line__label").textContent);
    const text = card.node.querySelector(".card-form__text").textContent.slice(0, 600);
    announce([before, card.node.dataset.label, text, on.join(", ")].filter(Boolean).join(" – "));
  }

  /** What stands on the card stands: keys work on it, first those that were typed meanwhile. */
  settle() {
    this.waiting = !this.current;
    this.card.removeAttribute("aria-busy");
    const typing = document.activeElement === this.palette?.input && this.palette.query;
    if (!typing && !document.querySelector("dialog[open]")) this.card.focus({ preventScroll: true });
    this.keys.replay();
  }

  /** Get the cards that are missing, unless a review that is being sent will bring them. */
  async topUp(insist = false) {
    if (this.asking || this.unsaved.length) return;
    if (!insist && (!this.deck.missing || (this.deck.end && this.current))) return;
    this.asking = true;
    const answer = await this.deck.ask(this.shown);
    this.asking = false;
    if (!this.isConnected) return;
    if (answer.outcome === "ok") this.received(answer.html);
    else if (answer.outcome === "refused") this.complain(answer);
    else this.hold(answer.outcome);
    if (this.waiting && !this.current && !this.isHeld && !this.unsaved.length && !this.deck.end) this.topUp();
  }

  /** Now and then: keep the leases, and see whether the AI has learned. */
  async look() {
    if (this.asking || this.unsaved.length || this.isHeld) return;
    await this.topUp(true);
  }

  answered({ entry, outcome, html }) {
    if (outcome !== "saved" || !entry.twice) return;
    this.received(html);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => document.body.dispatchEvent(new CustomEvent("ai-changed")), 1500);
  }

  received(html) {
    const found = this.deck.receive(html, this.shown);
    if (!found) return;
    if (this.isHeld) banner("connection", "");
    this.isHeld = false;
    this.progress(found.progress);
    if (found.renewed) toast(this.say("Renewed"));
    if (this.current) return;
    const next = this.deck.take();
    if (next) this.show(next);
    else if (this.deck.end && !this.unsaved.length) this.finish();
  }

  /** There is no card left: say why. */
  finish() {
    this.card.replaceChildren(this.deck.end);
    this.editor.paint();
    this.card.removeAttribute("aria-busy");
    this.keys.forget();
    this.card.querySelector("h2")?.focus({ preventScroll: true });
  }

  /** The server is away: what was decided waits in this browser; the cards held ready still work. */
  hold(state) {
    this.isHeld = true;
    if (state === "signed-out") showSignedOut();
    else if (!navigator.onLine) showOffline();
    if (!this.unsaved.length && state !== "signed-out") {
      clearTimeout(this.again);
      this.again = setTimeout(() => this.topUp(true), 1000 * AGAIN_S);
    }
    if (this.current) return;
    this.keys.forget();
    this.card.replaceChildren(document.querySelector("template[data-hold]").content.cloneNode(true));
    this.editor.paint();
    this.card.removeAttribute("aria-busy");
    announce(this.say("Held"));
  }

  complain({ outcome, html, status }) {
    if (outcome === "signed-out") return showSignedOut();
    if (outcome === "later") return showOffline();
    const said = new DOMParser().parseFromString(html ?? "", "text/html").querySelector(".toast__text")?.textContent.trim();
    toast(said || gettext("The server refused this (%(status)s). Load the page again.", { status }), { kind: "error" });
  }

  /** The body of a review as it is sent: with what the page holds now, so that the answer brings what is missing. */
  body(entry) {
    const data = new URLSearchParams(entry.body);
    for (const [name, value] of Object.entries(this.deck.wishes(this.shown))) data.set(name, value);
    return data.toString();
  }

  progress(html) {
    const slot = document.getElementById("focus-progress");
    if (!slot || !html) return;
    const was = slot.querySelector("details");
    const hadFocus = was?.contains(document.activeElement);
    const before = was?.dataset.advice;
    const open = was?.open;
    slot.innerHTML = html;
    const now = slot.querySelector("details");
    now.open = Boolean(open);
    if (hadFocus) now.querySelector("summary").focus();
    if (before === "go" && now.dataset.advice === "stop") toast(now.querySelector("[data-advice-headline]").textContent);
  }
}

customElements.define("focus-card", FocusCard);
