// Keys on a topic of the board, for those who may change it.
// Up / Down / Home / End: to another topic; with Shift they select, with Alt + Up / Down the topic moves.
// X selects, Ctrl/Cmd+A selects all, Escape none; M merges, V moves, Delete deletes: the selected ones, or this one.
// Shift+F10 or the menu key: its menu (topic-menu.js). F2 renames (topic-board.js), Enter opens.

import { announce, isTyping, shortcutsOn } from "./page.js";
import { openTopicMenu } from "./topic-menu.js";
import { chipOf, openDialog, openMany, place, show, topicOf, urlFor, visibleTopics } from "./topic-place.js";

const SETTLE_MS = 600;
let waiting = null; // a topic that was moved by keys and is not sent yet

/** Where a topic comes to stand one step on, also over the end of its category; null at the ends of the board. */
function step(topic, by) {
  const groups = [...topic.closest("topic-board").querySelectorAll("[data-category]")];
  const group = topic.closest("[data-category]");
  const rest = [...group.querySelectorAll("[data-topic]")];
  const to = rest.indexOf(topic) + by;
  if (to >= 0 && to < rest.length)
    return by < 0 ? { before: rest[to].dataset.topic } : { before: rest[to + 1]?.dataset.topic ?? null, category: group.dataset.category };
  const other = groups[groups.indexOf(group) + by];
  if (!other) return null;
  const first = other.querySelector("[data-topic]");
  return { before: by > 0 ? (first?.dataset.topic ?? null) : null, category: other.dataset.category };
}

/** Not at each key: three steps up are one move. It goes before the focus goes elsewhere. */
function later(board, topic) {
  waiting?.cancel();
  const id = topic.dataset.topic;
  const send = () => {
    waiting?.cancel();
    const now = topicOf(board, id);
    if (!board.isConnected || !now) return;
    const next = now.nextElementSibling;
    place(board, [id], { before: next?.dataset.topic ?? null, category: now.closest("[data-category]").dataset.category });
  };
  const leave = () => setTimeout(() => !topicOf(board, id)?.contains(document.activeElement) && send());
  const timer = setTimeout(send, SETTLE_MS);
  topic.addEventListener("focusout", leave);
  waiting = {
    cancel() {
      clearTimeout(timer);
      topic.removeEventListener("focusout", leave);
      waiting = null;
    },
  };
}

export function moveByStep(board, topic, by) {
  const to = step(topic, by);
  if (!to) return;
  show(board, [topic.dataset.topic], to);
  topic.scrollIntoView({ block: "nearest" });
  const group = topic.closest("[data-category]");
  const order = [...group.querySelectorAll("[data-topic]")];
  announce(`${topic.dataset.name}: ${group.dataset.label}, ${order.indexOf(topic) + 1} / ${order.length}`);
  later(board, topic);
}

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
