// Loads the behaviours a page needs: the common ones at once, the others when their HTML is there (also when
// htmx brings it in later). A new behaviour is one line in PARTS: the selector of its HTML and its module.
// <script type="module" src="{% static 'js/app.js' %}"></script>
// html[data-ready="1"] is set when all behaviours of the first page run: tests wait for it.

import { onNewContent } from "./htmx-config.js";
import "./colors.js";
import "./drafts.js";
import "./review-queue.js";
import "./modal-dialog.js";
import "./toast-item.js";
import "./menu-button.js";
import "./theme-switch.js";
import "./shortcuts-sheet.js";

const PARTS = [
  ["[data-chart-download]", () => import("./chart-download.js")],
  ["[data-copy], [data-copy-from]", () => import("./clipboard.js")],
  ["bulk-form", () => import("./bulk-form.js")],
  ["row-selection", () => import("./row-select.js")],
  ["tab-list, [data-toggle-rows]", () => import("./row-toggle.js")],
  ["file-drop", () => import("./file-drop.js")],
  ["filter-bar", () => import("./filter-bar.js")],
  ["[data-focus-link]", () => import("./focus-link.js")],
  ["focus-card", () => import("./focus-card.js")],
  ["row-feed, focus-card", () => import("./presence.js")],
  ["[data-keep-place]", () => import("./keep-place.js")],
  ["#ai-status", () => import("./live-poll.js")],
  ["row-feed", () => import("./row-feed.js")],
  ["[data-rows-links]", () => import("./rows-links.js")],
  ["[data-bars]", () => import("./bar-keys.js")],
  ["side-panel", () => import("./side-panel.js")],
  ["tab-list", () => import("./tab-list.js")],
  ["topic-board", () => import("./topic-board.js")],
  ["topic-editor", () => import("./topic-editor.js")],
  ["topic-form", () => import("./topic-form.js")],
  ["topic-palette", () => import("./topic-palette.js")],
  ["topic-picker", () => import("./topic-picker.js")],
  ["undo-keys", () => import("./undo-keys.js")],
];
const loading = new Map();

function loadParts(root) {
  for (const [selector, load] of PARTS) {
    if (loading.has(selector)) continue;
    if ((root instanceof Element && root.matches(selector)) || root.querySelector(selector)) loading.set(selector, load());
  }
}

// Not before htmx has read the page's attributes, which it does at DOMContentLoaded.
document.addEventListener("DOMContentLoaded", async () => {
  onNewContent(loadParts);
  await Promise.all(loading.values());
  document.documentElement.dataset.ready = "1";
});
