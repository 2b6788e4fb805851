// Where somebody was in a long list, kept in this tab for the back button and for a reload. Part of <row-feed>.
// Kept are the ids and the height of each part, which rows were on top and open; not the rows themselves: those in view
// are asked for again, so what comes back is fresh.

import { activate } from "./htmx-config.js";
import { session } from "./storage.js";

const PREFIX = "feed:";
const MOST_LISTS = 8;
const MAX_AGE_MS = 3_600_000;
const BACK = "feed-back";

// htmx answers the back button inside the page with a reload: only this tells it from a reload by hand.
window.addEventListener("popstate", () => session.set(BACK, "1"));

const keyOf = (feed) => `${PREFIX}${location.pathname}?${feed.dataset.query}`;

/** The row at the upper edge, and how far it is above it. */
function topRow(feed, edge) {
  for (const row of feed.querySelectorAll("[data-chunk][data-visible] [data-row]")) {
    const box = row.getBoundingClientRect();
    if (box.bottom > edge + 1) return { id: row.dataset.row, offset: box.top - edge };
  }
  return null;
}

export function remember(feed, root) {
  const edge = root ? root.getBoundingClientRect().top : 0;
  const top = topRow(feed, edge);
  const chunks = [...feed.querySelectorAll("[data-chunk]")];
  const next = chunks.at(-1)?.querySelector(".sentinel")?.getAttribute("hx-get") ?? "";
  if (!top || !chunks.length) return;
  const heights = chunks.map((chunk) => Math.round(chunk.querySelector(".chunk__rows").getBoundingClientRect().height));
  const state = { at: Date.now(), top, open: feed.dataset.current ?? "", next, chunks: chunks.map((chunk, index) => [chunk.dataset.ids, heights[index]]) };
  // Where nothing is kept the list starts at its top next time.
  const old = session.keys(PREFIX).filter((key) => key !== keyOf(feed));
  old.sort((a, b) => JSON.parse(session.get(a)).at - JSON.parse(session.get(b)).at);
  old.slice(0, Math.max(0, old.length - MOST_LISTS + 1)).forEach((key) => session.remove(key));
  session.set(keyOf(feed), JSON.stringify(state));
}

/** What to put back into a list that has just come; null where it starts afresh. */
export function recall(feed) {
  const how = performance.getEntriesByType("navigation")[0]?.type;
  const isBack = how === "back_forward" || Boolean(session.get(BACK));
  session.remove(BACK);
  if (!isBack && how !== "reload") return null;
  let state;
  try {
    state = JSON.parse(session.get(keyOf(feed)));
  } catch {
    return null;
  }
  const first = feed.querySelector("[data-chunk]");
  if (!state || !first || Date.now() - state.at > MAX_AGE_MS) return null;
  // Other rows than before head the list: whoever loads a page again wants to see those.
  return isBack || state.chunks[0][0] === first.dataset.ids ? state : null;
}

/** Put placeholders for the parts that were there behind the first one, which the page brings itself. */
export function rebuild(feed, state) {
  const first = feed.querySelector("[data-chunk]");
  const sentinel = first.querySelector(".sentinel");
  const shown = new Set(first.dataset.ids.split(","));
  let last = first;
  for (const [all, height] of state.chunks) {
    const ids = all.split(",").filter((id) => !shown.has(id)).join(",");
    if (!ids) continue;
    const chunk = document.createElement("div");
    chunk.className = "chunk";
    chunk.dataset.chunk = "";
    chunk.dataset.ids = ids;
    chunk.dataset.empty = "";
    const rows = document.createElement("div");
    rows.className = "chunk__rows";
    rows.style.height = `${height}px`;
    chunk.append(rows);
    last.after(chunk);
    last = chunk;
  }
  if (last === first || !sentinel) return;
  if (!state.next) return sentinel.remove();
  const moved = sentinel.cloneNode(true);
  moved.setAttribute("hx-get", state.next);
  sentinel.remove();
  last.append(moved);
  activate(moved);
}
