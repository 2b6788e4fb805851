// The endless list of rows: keeps the page light, keeps the open row marked, gives it keys.
// <row-feed role="feed" aria-label="Rows" id="feed">
//   <div class="chunk" data-chunk hx-get="…?ids=1,2" hx-trigger="rehydrate" hx-target="find .chunk__rows" hx-swap="innerHTML">
//     <div class="chunk__rows"><article class="row" id="row-12" data-row="12" data-url="/…/rows/12/" tabindex="0"> … <a data-open href="…">12</a> …</article> …</div>
//     <div class="sentinel" hx-get="…?after=…" …></div>
//   </div>
//   <div id="feed-end"></div>
// </row-feed>
// Chunks far from the screen are emptied (their height stays) and fetched again when they come near, so a
// list of a million rows never fills the page. Up/Down or K/J move, Enter or a click opens, R marks as reviewed.
// Events in: "row-changed" {ids} fetches single rows again; "rows-changed" on body (the AI or somebody else changed rows): visible chunks are fetched again.
// Event out: "row-open" {id, url}.

import { load, onSettled } from "./htmx-config.js";
import { isTyping, shortcutsOn } from "./page.js";

const KEEP_SCREENS = 8;

class RowFeed extends HTMLElement {
  connectedCallback() {
    this.far = new IntersectionObserver((entries) => entries.forEach((entry) => this.onDistance(entry)), {
      rootMargin: `${KEEP_SCREENS * 100}% 0px`,
    });
    this.near = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.target.toggleAttribute("data-visible", entry.isIntersecting);
    });
    this.watch();
    this.addEventListener("click", (event) => this.onClick(event));
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.refresh = () => this.refetch();
    this.change = (event) => this.renew(event.detail?.ids ?? []);
    document.body.addEventListener("rows-changed", this.refresh);
    document.body.addEventListener("row-changed", this.change);
  }

  disconnectedCallback() {
    this.far?.disconnect();
    this.near?.disconnect();
    document.body.removeEventListener("rows-changed", this.refresh);
    document.body.removeEventListener("row-changed", this.change);
  }

  watch() {
    for (const chunk of this.querySelectorAll("[data-chunk]")) {
      if (chunk.dataset.watched) continue;
      chunk.dataset.watched = "1";
      this.far.observe(chunk);
      this.near.observe(chunk);
    }
    this.paint();
  }

  onDistance({ target: chunk, isIntersecting }) {
    if (isIntersecting) {
      if ("empty" in chunk.dataset) this.fill(chunk);
    } else this.empty(chunk);
  }

  empty(chunk) {
    const rows = chunk.querySelector(".chunk__rows");
    if ("empty" in chunk.dataset || !rows.childElementCount || chunk.contains(document.activeElement)) return;
    rows.style.height = `${rows.offsetHeight}px`;
    chunk.dataset.empty = "";
    rows.replaceChildren();
  }

  fill(chunk) {
    delete chunk.dataset.empty;
    chunk.dispatchEvent(new CustomEvent("rehydrate"));
  }

  /** Visible chunks are fetched again at once, the others when they come near. */
  refetch() {
    for (const chunk of this.querySelectorAll("[data-chunk]:not([data-empty])")) {
      if ("visible" in chunk.dataset) chunk.dispatchEvent(new CustomEvent("rehydrate"));
      else {
        this.empty(chunk);
        this.far.unobserve(chunk);
        this.far.observe(chunk);
      }
    }
  }

  /** Fetch single rows again, wherever they stand in the list. */
  async renew(ids) {
    this.stale ??= new Set();
    ids.forEach((id) => this.stale.add(String(id)));
    if (this.renewing) return;
    this.renewing = true;
    // One at a time: an answer must find the row that the one before has drawn.
    while (this.stale.size) {
      const [id] = this.stale;
      this.stale.delete(id);
      const row = document.getElementById(`row-${id}`);
      if (row && this.contains(row)) await this.renewRow(row, id).catch(() => {});
    }
    this.renewing = false;
  }

  async renewRow(row, id) {
    const focused = row.contains(document.activeElement) ? document.activeElement : null;
    const query = new URLSearchParams(location.search);
    query.set("ids", id);
    await load("GET", `${this.dataset.rowsUrl}?${query}`, { target: row, swap: "outerHTML", source: this });
    if (!focused) return;
    const fresh = document.getElementById(`row-${id}`);
    const again = focused.matches("[data-review]") ? fresh?.querySelector("[data-review]") : fresh;
    again?.focus({ preventScroll: true });
  }

  get rows() {
    return [...this.querySelectorAll("[data-row]")];
  }

  /** Swaps bring fresh rows: mark the open one again and give the chunk its own height back. */
  paint() {
    for (const rows of this.querySelectorAll("[data-chunk]:not([data-empty]) > .chunk__rows")) rows.style.height = "";
    for (const row of this.rows) row.toggleAttribute("data-current", row.dataset.row === this.dataset.open);
  }

  mark(id) {
    this.dataset.open = id ?? "";
    this.paint();
  }

  onClick(event) {
    const row = event.target.closest("[data-row]");
    if (!row || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("[data-open]");
    if (link) event.preventDefault();
    else if (event.target.closest("a, button, input, label, select")) return;
    else if (String(getSelection()).length && getSelection().containsNode(row, true)) return;
    this.open(row);
  }

  open(row) {
    this.mark(row.dataset.row);
    this.dispatchEvent(new CustomEvent("row-open", { bubbles: true, detail: { id: row.dataset.row, url: row.dataset.url } }));
  }

  step(from, by) {
    const rows = this.rows;
    const at = rows.findIndex((row) => row.dataset.row === from);
    return at < 0 ? null : (rows[at + by] ?? null);
  }

  onKey(event) {
    const row = event.target.closest("[data-row]");
    if (!row || event.target !== row || isTyping(event)) return;
    const letters = shortcutsOn();
    if (event.key === "ArrowDown" || (letters && event.key === "j")) this.focusRow(this.step(row.dataset.row, 1), event);
    else if (event.key === "ArrowUp" || (letters && event.key === "k")) this.focusRow(this.step(row.dataset.row, -1), event);
    else if (event.key === "Enter") {
      event.preventDefault();
      this.open(row);
    } else if (letters && event.key === "r") row.querySelector("[data-review]")?.click();
  }

  focusRow(row, event) {
    if (!row) return;
    event.preventDefault();
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
}

customElements.define("row-feed", RowFeed);

onSettled(() => document.querySelectorAll("row-feed").forEach((feed) => feed.watch()));
