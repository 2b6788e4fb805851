// Loads the behaviours a page needs: the common ones at once, the others when their HTML is there (also when
// htmx brings it in later). A new behaviour is one line in PARTS: the selector of its HTML and its module.
// <script type="module" src="{% static 'js/app.js' %}"></script>
// html[data-ready="1"] is set when the page can be used, data-complete="1" when the behaviours run, too, that nobody
// needs before a first act (LATER, and parts that say so): they come when the browser has nothing else to do, and before
// they are needed, because a row is opened or a connection is lost only then. Tests wait for data-complete.

import { onNewContent } from "./htmx-config.js";
import "./colors.js";
import "./drafts.js";
import "./modal-dialog.js";
import "./toast-item.js";
import "./menu-button.js";
import "./theme-switch.js";
import "./shortcuts-sheet.js";

const PARTS = [
  ["[data-chart-download]", () => import("./chart-download.js")],
  ["[data-copy], [data-copy-from]", () => import("./clipboard.js"), "later"],
  ["bulk-form", () => import("./bulk-form.js")],
  ["row-selection", () => import("./row-select.js"), "later"],
  ["tab-list, [data-toggle-rows]", () => import("./row-toggle.js")],
  ["file-drop", () => import("./file-drop.js")],
  ["filter-bar", () => import("./filter-bar.js")],
  ["[data-focus-link]", () => import("./focus-link.js")],
  ["focus-card", () => import("./focus-card.js")],
  ["row-feed, focus-card", () => import("./presence.js"), "later"],
  ["[data-keep-place]", () => import("./keep-place.js")],
  ["#ai-status", () => import("./live-poll.js")],
  ["[data-narrow]", () => import("./narrow-list.js")],
  ["proposal-list", () => import("./proposal-list.js")],
  ["row-feed", () => import("./row-feed.js")],
  ["[data-rows-links]", () => import("./rows-links.js")],
  ["[data-bars]", () => import("./bar-keys.js")],
  ["side-panel", () => import("./side-panel.js")],
  ["tab-list", () => import("./tab-list.js")],
  ["topic-board", () => import("./topic-board.js"), "later"],
  ["topic-board[data-editable]", () => import("./topic-arrange.js"), "later"],
  ["topic-editor", () => import("./topic-editor.js")],
  ["topic-form", () => import("./topic-form.js")],
  ["topic-palette", () => import("./topic-palette.js")],
  ["topic-picker", () => import("./topic-picker.js")],
  ["tick-list", () => import("./tick-list.js")],
  ["undo-keys", () => import("./undo-keys.js")],
];
const LATER = [
  () => import("./review-queue.js"),
  () => document.querySelector("row-feed") && Promise.all([import("./topic-editor.js"), import("./topic-picker.js")]),
];
const loading = new Map();
let isFirst = true;

function loadParts(root) {
  for (const [selector, load, when] of PARTS) {
    if (loading.has(selector) || (isFirst && when === "later")) continue;
    if ((root instanceof Element && root.matches(selector)) || root.querySelector(selector)) loading.set(selector, load());
  }
}

async function loadTheRest() {
  isFirst = false;
  loadParts(document);
  await Promise.all([...LATER.map((load) => load()), ...loading.values()]);
  document.documentElement.dataset.complete = "1";
}

// Not before htmx has read the page's attributes, which it does at DOMContentLoaded.
document.addEventListener("DOMContentLoaded", async () => {
  onNewContent(loadParts);
  await Promise.all(loading.values());
  document.documentElement.dataset.ready = "1";
  performance.mark("ready");
  if (window.requestIdleCallback) requestIdleCallback(loadTheRest, { timeout: 1000 });
  else setTimeout(loadTheRest, 200);
});
