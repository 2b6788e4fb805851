// Key F opens focus mode: <a data-focus-link href="…">Focus mode</a>

import { isTyping, shortcutsOn } from "./page.js";

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "f" || isTyping(event) || event.shiftKey || !shortcutsOn()) return;
  const link = document.querySelector("[data-focus-link]");
  if (!link) return;
  event.preventDefault();
  link.click();
});
