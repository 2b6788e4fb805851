// Moves a topic one place up or down, also over the border of its category: moveByStep(board, topic, -1).
// Not sent at each step: three steps up are one move. It goes shortly after the last one, or when the focus goes elsewhere.

import { announce } from "./page.js";
import { place, show, topicOf } from "./topic-place.js";

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

/** What was moved goes shortly after the last step, or when the focus goes elsewhere, to the list as it is then. */
function later(board, topic) {
  waiting?.cancel();
  const id = topic.dataset.topic;
  const to = { before: topic.nextElementSibling?.dataset.topic ?? null, category: topic.closest("[data-category]").dataset.category };
  const live = () => document.querySelector(`topic-board[data-column="${CSS.escape(board.dataset.column)}"]`);
  const send = () => {
    waiting?.cancel();
    const now = live();
    if (!now || !topicOf(now, id)) return;
    show(now, [id], to);
    place(now, [id], to);
  };
  const leave = () => setTimeout(() => live() && !topicOf(live(), id)?.contains(document.activeElement) && send());
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
