// Copies a text and says so. <button type="button" data-copy="text">Copy</button>  or data-copy-from="#id"

import { toast } from "./page.js";
import { gettext } from "./texts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
  const text = source ? (source.value ?? source.textContent.trim()) : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    toast(gettext("Copied."));
  } catch {
    toast(gettext("The browser did not allow copying. Select the text and copy it by hand."), { kind: "error" });
  }
});
