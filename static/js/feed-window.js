// Keeps an endless list light: parts far from the screen give up their rows, keep their height, and get the rows back
// before they are seen again. Part of <row-feed>, which hands over its parts:
//   <div class="chunk" data-chunk data-ids="12,13,…"><div class="chunk__rows">…</div></div>
// States on the part: data-empty (no rows now), data-visible (on the screen), data-old (to be read again when seen).

import { load } from "./htmx-config.js";

const KEEP_SCREENS = 8; // on both sides
const PAUSE_MS = 60; // parts that a quick drag of the scroll bar passes by are not worth a request
const RETRY_MS = 3000;

export const idsOf = (chunk) => chunk.dataset.ids.split(",");

export class FeedWindow {
  /** `onSeen(chunk)` is called when a part marked data-old comes on the screen. */
  constructor(feed, { address, onSeen }) {
    this.feed = feed;
    this.address = address;
    this.onSeen = onSeen;
    this.due = new Set();
    this.loading = new Map();
    this.near = new Set();
    this.onResize = () => this.scroller !== this.root && this.observe();
    window.addEventListener("resize", this.onResize);
    this.observe();
  }

  close() {
    window.removeEventListener("resize", this.onResize);
    this.far?.disconnect();
    this.seen?.disconnect();
    clearTimeout(this.timer);
  }

  get chunks() {
    return [...this.feed.querySelectorAll("[data-chunk]")];
  }

  /** On a wide screen the list scrolls itself, on a narrow one the page does (null). */
  get scroller() {
    return getComputedStyle(this.feed).overflowY === "auto" ? this.feed : null;
  }

  observe() {
    this.far?.disconnect();
    this.seen?.disconnect();
    this.root = this.scroller;
    // The root must be named: margins do not reach beyond the edge of a box that scrolls inside the page.
    const margin = `${KEEP_SCREENS * 100}% 0px`;
    this.far = new IntersectionObserver((entries) => entries.forEach((entry) => this.onDistance(entry)), { root: this.root, rootMargin: margin });
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.onSight(entry)), { root: this.root });
    for (const chunk of this.chunks) this.add(chunk);
  }

  add(chunk) {
    chunk.dataset.watched = "1";
    this.far.observe(chunk);
    this.seen.observe(chunk);
  }

  watch() {
    for (const chunk of this.chunks) if (!chunk.dataset.watched) this.add(chunk);
  }

  onDistance({ target: chunk, isIntersecting }) {
    if (isIntersecting) {
      this.near.add(chunk);
      if ("empty" in chunk.dataset) this.later(chunk);
    } else {
      this.near.delete(chunk);
      this.due.delete(chunk);
      this.empty(chunk);
    }
  }

  onSight({ target: chunk, isIntersecting }) {
    chunk.toggleAttribute("data-visible", isIntersecting);
    if (isIntersecting && "old" in chunk.dataset) {
      delete chunk.dataset.old;
      this.onSeen(chunk);
    }
  }

  later(chunk, wait = PAUSE_MS) {
    this.due.add(chunk);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const wanted = [...this.due].sort((a, b) => ("visible" in b.dataset) - ("visible" in a.dataset));
      this.due.clear();
      wanted.forEach((one) => this.fill(one));
    }, wait);
  }

  empty(chunk) {
    const rows = chunk.querySelector(".chunk__rows");
    if ("empty" in chunk.dataset || !rows.childElementCount || chunk.contains(document.activeElement)) return;
    rows.style.height = `${rows.getBoundingClientRect().height}px`;
    chunk.dataset.empty = "";
    delete chunk.dataset.old; // what comes back is new
    rows.replaceChildren();
  }

  /** Give a part its rows, though it may be far: it is about to be scrolled to. */
  fetch(chunk) {
    this.held = chunk;
    return this.fill(chunk);
  }

  /** Give a part its rows; resolves when they are there (or cannot be had now). */
  fill(chunk) {
    if (!("empty" in chunk.dataset) || !chunk.isConnected) return Promise.resolve();
    if (!this.loading.has(chunk)) {
      const target = chunk.querySelector(".chunk__rows");
      const work = load("GET", this.address(idsOf(chunk)), { target, swap: "innerHTML", source: chunk })
        .catch(() => {})
        .then(() => this.filled(chunk));
      this.loading.set(chunk, work);
    }
    return this.loading.get(chunk);
  }

  filled(chunk) {
    this.loading.delete(chunk);
    const rows = chunk.querySelector(".chunk__rows");
    if (!chunk.isConnected) return;
    if (rows.childElementCount) {
      delete chunk.dataset.empty;
      rows.style.height = "";
      if (!this.near.has(chunk) && this.held !== chunk) this.empty(chunk);
    } else if (this.near.has(chunk)) this.later(chunk, RETRY_MS);
  }
}
