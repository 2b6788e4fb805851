// Shows the keys of this page and lets a person switch single-key shortcuts off (WCAG 2.1.4).
// <template data-shortcuts-of="Row browser"><dl class="shortcut-list"><dt><kbd>F</kbd></dt><dd>Focus mode</dd>…</dl></template>
// <button type="button" data-shortcuts>Keyboard shortcuts</button>      Key: ?
// Pages may hold several templates; the sheet shows them all.

import { isTyping, keepShortcuts, shortcutsOn } from "./page.js";
import { gettext } from "./texts.js";

function general() {
  const list = document.createElement("dl");
  list.className = "shortcut-list";
  for (const [keys, text] of [["?", gettext("Show this list")], ["Ctrl/Cmd Z", gettext("Undo the last change")], ["Esc", gettext("Close")]]) {
    const dt = document.createElement("dt");
    for (const key of keys.split(" ")) dt.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    list.append(dt, Object.assign(document.createElement("dd"), { textContent: text }));
  }
  return list;
}

export function openSheet() {
  if (document.querySelector("dialog[open]")) return;
  const holder = document.createElement("modal-dialog");
  const dialog = Object.assign(document.createElement("dialog"), { className: "dialog" });
  dialog.setAttribute("aria-labelledby", "shortcuts-title");
  const head = Object.assign(document.createElement("div"), { className: "dialog__head" });
  const title = Object.assign(document.createElement("h2"), { id: "shortcuts-title", textContent: gettext("Keyboard shortcuts") });
  const close = Object.assign(document.createElement("button"), { type: "button", className: "button button--quiet button--small", textContent: gettext("Close") });
  close.dataset.close = "";
  head.append(title, close);
  const body = Object.assign(document.createElement("div"), { className: "dialog__body stack" });
  for (const template of document.querySelectorAll("template[data-shortcuts-of]")) {
    const section = document.createElement("section");
    section.className = "stack stack--tight";
    section.append(Object.assign(document.createElement("h3"), { textContent: template.dataset.shortcutsOf }), template.content.cloneNode(true));
    body.append(section);
  }
  const section = Object.assign(document.createElement("section"), { className: "stack stack--tight" });
  section.append(Object.assign(document.createElement("h3"), { textContent: gettext("Everywhere") }), general());
  const label = Object.assign(document.createElement("label"), { className: "switch" });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: shortcutsOn() });
  box.setAttribute("role", "switch");
  box.addEventListener("change", () => keepShortcuts(box.checked));
  label.append(box, gettext("Single-key shortcuts"));
  section.append(label);
  body.append(section);
  dialog.append(head, body);
  holder.append(dialog);
  document.body.append(holder);
}

document.addEventListener("click", (event) => event.target.closest("[data-shortcuts]") && openSheet());
document.addEventListener("keydown", (event) => {
  if (event.key === "?" && !isTyping(event)) {
    event.preventDefault();
    openSheet();
  }
});
