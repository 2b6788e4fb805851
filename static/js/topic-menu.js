// The menu of a topic: made when it is wanted first, for a board may have 800 of them.
// <template data-topic-menu data-merge-url="/topics/0/merge/" data-delete-url="…"><div class="menu">
//   <button type="button" data-act="edit" data-url="/topics/0/">Properties</button> <button data-act="rename">…</button>
//   <button data-act="up">…</button> <button data-act="place">Move to…</button> <a data-url="/columns/3/?topic=0">Its rows</a></div></template>
// <li data-topic="12">… <button data-topic-menu-open aria-haspopup="true" aria-expanded="false">…</button></li>
// A right click on a chip opens it, too.

import { activate } from "./htmx-config.js";
import { openDialog, openMany, urlFor } from "./topic-place.js";
import { startRename } from "./topic-rename.js";
import { moveByStep } from "./topic-step.js";

/** Open the menu of a topic; its first entry has the focus where `byKey`. */
export function openTopicMenu(topic, byKey = true) {
  const button = topic.querySelector("[data-topic-menu-open]");
  if (!button) return;
  let holder = button.closest("menu-button");
  if (!holder) holder = make(topic, button);
  holder.toggle(true);
  if (byKey) holder.items[0]?.focus();
}

function make(topic, button) {
  const menu = topic.closest("topic-board").querySelector("template[data-topic-menu]").content.firstElementChild.cloneNode(true);
  const id = topic.dataset.topic;
  menu.id = `topic-menu-${id}`;
  menu.hidden = true;
  for (const link of menu.querySelectorAll("a[data-url]")) link.href = link.dataset.url.replace(/=0$/, `=${id}`);
  button.setAttribute("aria-controls", menu.id);
  const holder = document.createElement("menu-button");
  const tools = button.parentElement;
  holder.append(button, menu); // before it comes into the page, for then it reads its parts
  tools.append(holder);
  button.focus({ preventScroll: true });
  menu.addEventListener("click", (event) => {
    const item = event.target.closest("[data-act]");
    if (item) act(id, item);
  });
  activate(menu);
  return holder;
}

function act(id, item) {
  const name = item.dataset.act;
  const topic = document.querySelector(`topic-board [data-topic="${CSS.escape(id)}"]`); // the list may be drawn anew by now
  if (!topic) return;
  const board = topic.closest("topic-board");
  if (name === "rename") return startRename(topic);
  if (name === "up" || name === "down") return moveByStep(board, topic, name === "up" ? -1 : 1);
  if (name === "place") return openMany(board, "move", [id]);
  return openDialog(board, urlFor(item.dataset.url, id));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-topic-menu-open]");
  if (button && !button.closest("menu-button")) openTopicMenu(button.closest("[data-topic]"), event.detail === 0);
});

document.addEventListener("contextmenu", (event) => {
  const topic = event.target.closest("topic-board[data-editable] .topic__chip")?.closest("[data-topic]");
  if (!topic) return;
  event.preventDefault();
  openTopicMenu(topic, false);
});
