// "1–30 of 958" below the list: which rows are on the screen, of how many. Part of <row-feed>.
// <p class="feed-foot" data-feed-range hidden><span data-from></span>–<span data-to></span> of <span data-total></span> …</p>
// The number of all rows comes after the rows are drawn: <span data-n-rows="958"> anywhere in the pane.
// Each row also gets aria-posinset and aria-setsize, which a feed owes to screen readers.

import { number } from "./texts.js";

export class FeedRange {
  constructor(feed, list) {
    this.feed = feed;
    this.list = list;
    this.foot = feed.parentElement?.querySelector("[data-feed-range]");
    this.onScroll = () => (this.frame ??= requestAnimationFrame(() => this.show()));
    feed.addEventListener("scroll", this.onScroll, { passive: true });
    window.addEventListener("scroll", this.onScroll, { passive: true });
    window.addEventListener("resize", this.onScroll);
  }

  close() {
    cancelAnimationFrame(this.frame);
    window.removeEventListener("scroll", this.onScroll);
    window.removeEventListener("resize", this.onScroll);
  }

  get total() {
    return Number(this.feed.parentElement?.querySelector("[data-n-rows]")?.dataset.nRows ?? -1);
  }

  /** Number what has come; called after every swap. */
  paint() {
    const total = this.total;
    let start = 0;
    for (const chunk of this.list.chunks) {
      const n = chunk.dataset.ids.split(",").length;
      let place = start;
      for (const row of chunk.firstElementChild.children) {
        place += 1;
        if (row.getAttribute("aria-posinset") !== String(place)) row.setAttribute("aria-posinset", place);
        if (row.getAttribute("aria-setsize") !== String(total)) row.setAttribute("aria-setsize", total);
      }
      start += n;
    }
    this.onScroll();
  }

  /** The first row of a part that reaches below `edge`, by halving: rows follow each other. */
  static firstBelow(rows, edge) {
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom > edge) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  place(edge) {
    let place = 0;
    for (const chunk of this.list.chunks) {
      const n = chunk.dataset.ids.split(",").length;
      const box = chunk.getBoundingClientRect();
      if (box.bottom > edge) {
        if (box.top >= edge) return place;
        const rows = chunk.firstElementChild.children;
        const share = Math.floor(((edge - box.top) / box.height) * n); // rows that are not there now
        return place + (rows.length ? FeedRange.firstBelow(rows, edge) : share);
      }
      place += n;
    }
    return place - 1;
  }

  show() {
    this.frame = null;
    if (!this.foot || !this.feed.isConnected) return;
    const root = this.list.root?.getBoundingClientRect();
    const foot = root ? 0 : this.foot.getBoundingClientRect().height;
    const from = this.place((root?.top ?? 0) + 2) + 1;
    const to = this.place((root?.bottom ?? innerHeight - foot) - 2) + 1;
    const total = this.total;
    this.foot.querySelector("[data-from]").textContent = number(from);
    this.foot.querySelector("[data-to]").textContent = number(total > 0 ? Math.min(to, total) : to);
    this.foot.querySelector("[data-total]").textContent = total < 0 ? "…" : number(total);
    this.foot.hidden = false;
  }
}
