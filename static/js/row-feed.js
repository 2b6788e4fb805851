// The endless list of rows: keeps the page light, keeps the open row marked, gives it keys.
// <row-feed role="feed" aria-label="Rows" id="feed" data-rows-url="/…/rows/" data-row-base="/…/rows/" data-query="q=late">
//   <div class="chunk" data-chunk data-ids="12,13,…">
//     <div class="chunk__rows"><article class="row" id="row-12" data-row="12" tabindex="0"> … <a data-open href="…">12</a> …</article> …</div>
//     <div class="sentinel" hx-get="…?after=…" …></div>
//   </div>
//   <div id="feed-end"></div>
// </row-feed>
// Rows far from the screen are given up and come back (feed-window.js), so a list of a million rows never fills the
// page; where somebody was is kept for the back button and a reload (feed-memory.js); "1–30 of 958" stands below it
// (feed-range.js). Up/Down or K/J move, Enter or a click opens, R marks as reviewed.
// Events in: "row-changed" {ids} reads single rows again; "rows-changed" on body (the AI or somebody else changed rows):
// rows on the screen are read again at once, the others when they are seen. Only rows that differ are drawn anew, so
// focus, selected text and scroll position stay. Event out: "row-open" {id, url}.

import { announceNew, fetchPart, onSettled } from "./htmx-config.js";
import { recall, rebuild, remember } from "./feed-memory.js";
import { FeedRange } from "./feed-range.js";
import { FeedWindow, idsOf } from "./feed-window.js";
import { isTyping, shortcutsOn } from "./page.js";

const MOST_IDS = 100; // the server answers no more at a time
const OWN_ATTRIBUTES = ["data-current", "data-picked", "data-with", "aria-posinset", "aria-setsize"];
let isFirst = true;

class RowFeed extends HTMLElement {
  connectedCallback() {
    this.window = new FeedWindow(this, { address: (ids) => this.address(ids), onSeen: (chunk) => this.renew(idsOf(chunk)) });
    this.range = new FeedRange(this, this.window);
    this.watch();
    this.addEventListener("click", (event) => this.onClick(event));
    this.addEventListener("keydown", (event) => this.onKey(event));
    // Refused because the row is another by now: show it as it is.
    this.addEventListener("request-failed", ({ target, detail }) => {
      const row = detail.status === 409 && target.closest("[data-row]");
      if (row) this.renew([row.dataset.row]);
    });
    this.refresh = () => this.refetch();
    this.change = (event) => this.renew((event.detail?.ids ?? []).map(String));
    this.leave = () => remember(this, this.window.scroller);
    document.body.addEventListener("rows-changed", this.refresh);
    document.body.addEventListener("row-changed", this.change);
    window.addEventListener("pagehide", this.leave);
    const state = isFirst && recall(this);
    isFirst = false;
    if (state) this.goBack(state);
  }

  disconnectedCallback() {
    this.window?.close();
    this.range?.close();
    document.body.removeEventListener("rows-changed", this.refresh);
    document.body.removeEventListener("row-changed", this.change);
    window.removeEventListener("pagehide", this.leave);
  }

  address(ids) {
    const query = new URLSearchParams(this.dataset.query);
    query.set("ids", ids.join(","));
    return `${this.dataset.rowsUrl}?${query}`;
  }

  watch() {
    this.window.watch();
    this.paint();
  }

  async goBack(state) {
    history.scrollRestoration = "manual";
    rebuild(this, state);
    this.watch();
    const chunk = this.window.chunks.find((one) => idsOf(one).includes(state.top.id));
    if (!chunk) return;
    chunk.scrollIntoView({ block: "start" });
    await this.window.fetch(chunk);
    document.getElementById(`row-${state.top.id}`)?.scrollIntoView({ block: "start" });
    (this.window.scroller ?? window).scrollBy(0, -state.top.offset);
    if (state.open) this.openId(state.open);
  }

  /** Rows on the screen are read again at once, the others when they are seen. */
  refetch() {
    const visible = [];
    for (const chunk of this.window.chunks) {
      if ("empty" in chunk.dataset) continue;
      if ("visible" in chunk.dataset) visible.push(...idsOf(chunk));
      else chunk.dataset.old = "";
    }
    this.renew(visible);
  }

  /** Read rows again, wherever they stand in the list. */
  async renew(ids) {
    this.stale ??= new Set();
    ids.forEach((id) => this.stale.add(id));
    if (this.renewing) return;
    this.renewing = true;
    // One request at a time: an answer must find the rows that the one before has drawn.
    while (this.stale.size) {
      const wanted = [...this.stale].filter((id) => this.row(id)).slice(0, MOST_IDS);
      if (!wanted.length) this.stale.clear();
      wanted.forEach((id) => this.stale.delete(id));
      const text = wanted.length ? await fetchPart(this.address(wanted)) : null;
      if (text !== null) this.redraw(wanted, text);
    }
    this.renewing = false;
  }

  redraw(ids, text) {
    const box = document.createElement("template");
    box.innerHTML = text;
    for (const id of ids) {
      const old = this.row(id);
      const fresh = box.content.getElementById(`row-${id}`);
      if (!old) continue;
      if (!fresh) old.remove(); // deleted meanwhile
      else if (!this.isSame(old, fresh)) this.exchange(old, fresh);
    }
    this.paint();
  }

  isSame(old, fresh) {
    const bare = old.cloneNode(true);
    for (const name of OWN_ATTRIBUTES) bare.removeAttribute(name);
    bare.querySelectorAll("[data-own]").forEach((one) => one.remove());
    bare.querySelectorAll("[style]").forEach((one) => one.removeAttribute("style"));
    return bare.isEqualNode(fresh);
  }

  exchange(old, fresh) {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [...old.querySelectorAll("a, button, input")].indexOf(focused);
    const row = document.importNode(fresh, true);
    old.replaceWith(row);
    announceNew(row);
    if (focused) (row.querySelectorAll("a, button, input")[place] ?? row).focus({ preventScroll: true });
  }

  row(id) {
    const row = document.getElementById(`row-${id}`);
    return row && this.contains(row) ? row : null;
  }

  get rows() {
    return [...this.querySelectorAll("[data-row]")];
  }

  /** Swaps bring fresh rows: mark the open one again and say which place they have in the list. */
  paint() {
    for (const row of this.rows) row.toggleAttribute("data-current", row.dataset.row === this.dataset.current);
    this.range.paint();
  }

  mark(id) {
    this.dataset.current = id ?? "";
    this.paint();
  }

  onClick(event) {
    const row = event.target.closest("[data-row]");
    if (!row || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[data-open]"); // the feed itself notes the open row in data-open
    if (link) event.preventDefault();
    else if (event.target.closest("a, button, input, label, select")) return;
    else if (String(getSelection()).length && getSelection().containsNode(row, true)) return;
    this.open(row);
  }

  open(row) {
    this.openId(row.dataset.row);
  }

  openId(id) {
    this.mark(id);
    this.dispatchEvent(new CustomEvent("row-open", { bubbles: true, detail: { id, url: `${this.dataset.rowBase}${id}/` } }));
  }

  /** The row `by` places further in the list, whether it is in the page or has to come first; null at the ends. */
  async neighbour(from, by) {
    let ids = this.window.chunks.flatMap(idsOf);
    const at = ids.indexOf(from);
    if (at < 0 || at + by < 0) return null;
    if (at + by >= ids.length) {
      if (!(await this.more())) return null;
      ids = this.window.chunks.flatMap(idsOf);
    }
    const id = ids[at + by];
    const chunk = this.window.chunks.find((one) => idsOf(one).includes(id));
    await this.window.fetch(chunk);
    // A row that was deleted meanwhile is stepped over; without an answer of the server there is none to step to.
    if (this.row(id) || "empty" in chunk.dataset) return this.row(id);
    return this.neighbour(from, by + Math.sign(by));
  }

  /** The end of what is loaded is reached: bring it on the screen, where it loads what follows. */
  more() {
    const last = this.window.chunks.at(-1);
    if (!last.querySelector(".sentinel")) return false;
    last.scrollIntoView({ block: "end" });
    return new Promise((resolve) => {
      const done = (ok) => {
        watcher.disconnect();
        clearTimeout(timer);
        resolve(ok);
      };
      const watcher = new MutationObserver(() => this.window.chunks.at(-1) !== last && done(true));
      const timer = setTimeout(() => done(false), 5000);
      watcher.observe(this, { childList: true });
    });
  }

  onKey(event) {
    const row = event.target.closest("[data-row]");
    if (!row || event.target !== row || isTyping(event)) return;
    const letters = shortcutsOn();
    if (event.key === "ArrowDown" || (letters && event.key === "j")) this.move(row, 1, event);
    else if (event.key === "ArrowUp" || (letters && event.key === "k")) this.move(row, -1, event);
    else if (event.key === "Enter") {
      event.preventDefault();
      this.open(row);
    } else if (letters && event.key === "r") row.querySelector("[data-review]")?.click();
    else if (letters && event.key === "h") row.querySelector("[data-star]")?.click();
    else if (letters && event.key === "c") row.querySelector("[data-copy], [data-copy-from]")?.click();
  }

  async move(from, by, event) {
    event.preventDefault();
    const row = await this.neighbour(from.dataset.row, by);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }
}

customElements.define("row-feed", RowFeed);

onSettled(() => document.querySelectorAll("row-feed").forEach((feed) => feed.watch()));
