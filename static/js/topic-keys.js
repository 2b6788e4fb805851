// Keys on a topic of the board, for those who may change it.
// Up / Down / Home / End: to another topic; with Shift they select, with Alt + Up / Down the topic moves.
// X selects, Ctrl/Cmd+A selects all, Escape none; M merges, V moves, Delete deletes: the selected ones, or this one.
// Shift+F10 or the menu key: its menu (topic-menu.js). F2 renames (topic-board.js), Enter opens.

import { isTyping, shortcutsOn } from "./page.js";
import { openTopicMenu } from "./topic-menu.js";
import { chipOf, openDialog, openMany, urlFor, visibleTopics } from "./topic-place.js";
import { moveByStep } from "./topic-step.js";

function moveFocus(board, topic, key, selection) {
  const topics = visibleTopics(board);
  const at = topics.indexOf(topic);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: topics.length - 1 }[key];
  const next = topics[to];
  if (!next) return;
  if (selection) {
    if (!selection.anchor) selection.pick(topic, true);
    selection.range(selection.anchor, next.dataset.topic, true);
  }
  chipOf(next)?.focus();
}

function onKey(event) {
  const topic = event.target.closest?.("topic-board[data-editable] [data-topic]");
  if (!topic || event.defaultPrevented || event.isComposing || event.target.matches("input:not([type=checkbox])") || event.target.closest(".menu")) return;
  const board = topic.closest("topic-board");
  const selection = board.querySelector("topic-selection");
  const id = topic.dataset.topic;
  const { key } = event;
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  let done = true;
  if (event.altKey && (key === "ArrowUp" || key === "ArrowDown")) moveByStep(board, topic, key === "ArrowUp" ? -1 : 1);
  else if (plain && ["ArrowUp", "ArrowDown", "Home", "End"].includes(key)) moveFocus(board, topic, key, event.shiftKey ? selection : null);
  else if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a") selection.all();
  else if (key === "Escape" && selection.ids.size) selection.clear();
  else if (key === "ContextMenu" || (key === "F10" && event.shiftKey)) openTopicMenu(topic);
  else if (plain && key === "Delete") openActs(board, "delete", selection.with(id));
  else if (isTyping(event) || event.shiftKey || !shortcutsOn()) done = false;
  else if (key === "x") selection.pick(topic, !selection.ids.has(id));
  else if (key === "m") openActs(board, "merge", selection.with(id));
  else if (key === "v") openMany(board, "move", selection.with(id));
  else done = false;
  if (!done) return;
  event.preventDefault();
  event.stopPropagation();
}

/** The dialog for several topics, or that of one topic where it has its own. */
function openActs(board, act, ids) {
  const own = board.querySelector("template[data-topic-menu]")?.dataset[`${act}Url`];
  if (ids.length === 1 && own) openDialog(board, urlFor(own, ids[0]));
  else openMany(board, act, ids);
}

document.addEventListener("keydown", onKey, true);
