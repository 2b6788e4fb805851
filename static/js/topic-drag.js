// Dragging in the topic board. The edge of a topic = before or after it, its middle = onto it: merge or combine.
// A topic that is selected takes the others that are along. The name of a category drags the whole category.
// <topic-board data-editable data-merge-url="…" data-drop-before="Before %(name)s" data-drop-onto="Merge or combine with %(name)s" …>
// With the mouse from the chip, with a finger from <span data-topic-grip>. Escape takes it back.
// Pointer events, not the browser's drag and drop: that knows neither fingers nor buttons (Firefox), and tells nothing on the way.

import { load } from "./htmx-config.js";
import { announce } from "./page.js";
import { number } from "./texts.js";
import { openMany, place, show, topicOf } from "./topic-place.js";

const START_PX = 5;
const EDGE_SHARE = 0.3; // of the height of a topic: dropping there puts before or after it
const SCROLL_EDGE_PX = 56;
const SCROLL_MOST_PX = 18; // per frame

let drag = null;

function press(event) {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const board = event.target.closest?.("topic-board[data-editable]");
  if (!board) return;
  const isTouch = event.pointerType !== "mouse";
  const handle = event.target.closest(isTouch ? "[data-topic-grip]" : ".topic__chip, [data-topic-grip], .topic-group__label");
  if (!handle || handle.querySelector("input")) return;
  const topic = handle.closest("[data-topic]");
  const group = topic ? null : handle.closest("[data-category]");
  if (!topic && !group) return;
  drag = { column: board.dataset.column, id: topic?.dataset.topic, category: group?.dataset.category, x: event.clientX, y: event.clientY, started: false, pointer: event.pointerId };
}

const boardOf = () => document.querySelector(`topic-board[data-column="${CSS.escape(drag.column)}"]`); // the list may be drawn anew on the way

function start() {
  const board = boardOf();
  if (!board) return end();
  drag.started = true;
  drag.ids = drag.id ? (board.querySelector("topic-selection")?.with(drag.id) ?? [drag.id]) : [];
  const of = drag.id ? topicOf(board, drag.id) : board.querySelector(`[data-category="${CSS.escape(drag.category)}"]`);
  const ghost = document.createElement("div");
  ghost.className = "topic-ghost";
  ghost.dataset.color = of.closest("[data-color]").dataset.color;
  const own = of.closest("[data-color]").style.getPropertyValue("--c");
  if (own) ghost.style.setProperty("--c", own);
  const name = document.createElement("span");
  name.className = "chip";
  name.textContent = drag.ids.length > 1 ? `${of.dataset.name} +${number(drag.ids.length - 1)}` : (of.dataset.name ?? of.dataset.label);
  drag.hint = document.createElement("span");
  drag.hint.className = "topic-ghost__hint";
  ghost.append(name, drag.hint);
  document.body.append(ghost);
  document.body.classList.add("is-dragging-topics");
  drag.ghost = ghost;
  mark();
  scrollWhileNeeded();
}

/** What is being dragged stays where it is, faded. */
function mark() {
  const board = boardOf();
  for (const id of drag.ids) topicOf(board, id)?.classList.add("is-dragged");
  if (drag.category) board.querySelector(`[data-category="${CSS.escape(drag.category)}"]`)?.classList.add("is-dragged");
}

function follow() {
  drag.ghost.style.translate = `${Math.min(drag.x + 12, innerWidth - drag.ghost.offsetWidth - 8)}px ${Math.min(drag.y + 14, innerHeight - drag.ghost.offsetHeight - 8)}px`;
  const board = boardOf();
  clearMarks();
  mark();
  drag.target = drag.id ? overTopic(board) : overCategory(board);
  const { target } = drag;
  target?.element.classList.add(`is-drop-${target.zone}`);
  drag.ghost.classList.toggle("topic-ghost--onto", target?.zone === "onto");
  drag.hint.textContent = target ? board.dataset[`drop${target.zone[0].toUpperCase()}${target.zone.slice(1)}`].replace("%(name)s", target.name) : "";
}

function clearMarks() {
  for (const one of document.querySelectorAll(".is-drop-before, .is-drop-after, .is-drop-onto, .is-drop-into, topic-board .is-dragged"))
    one.classList.remove("is-drop-before", "is-drop-after", "is-drop-onto", "is-drop-into", "is-dragged");
}

function overTopic(board) {
  const over = document.elementFromPoint(drag.x, drag.y);
  if (!over || !board.contains(over)) return null;
  const topic = over.closest("[data-topic]");
  const group = over.closest("[data-category]");
  if (topic) {
    if (drag.ids.includes(topic.dataset.topic)) return null;
    const box = topic.getBoundingClientRect();
    const share = (drag.y - box.top) / box.height;
    const facts = { element: topic, name: topic.dataset.name, topic: topic.dataset.topic, category: group.dataset.category };
    if (share > EDGE_SHARE && share < 1 - EDGE_SHARE) return { ...facts, zone: "onto" };
    if (share <= EDGE_SHARE) return { ...facts, zone: "before", before: topic.dataset.topic };
    return { ...facts, zone: "after", before: rest(topic.nextElementSibling)?.dataset.topic ?? null };
  }
  if (!group) return null;
  // Its name or what is empty of it: the top or the end of the category.
  const list = group.querySelector("[data-topics]");
  const first = drag.y < list.getBoundingClientRect().top ? rest(list.querySelector("[data-topic]")) : null;
  return { element: group, name: group.dataset.label, zone: "into", before: first?.dataset.topic ?? null, category: group.dataset.category };
}

/** The next topic that is not dragged along. */
function rest(topic) {
  while (topic && (!topic.matches("[data-topic]") || drag.ids.includes(topic.dataset.topic))) topic = topic.nextElementSibling;
  return topic;
}

function overCategory(board) {
  const over = document.elementFromPoint(drag.x, drag.y);
  const group = over && board.contains(over) ? over.closest("[data-category]") : null;
  if (!group || group.dataset.category === drag.category) return null;
  const box = group.getBoundingClientRect();
  const isBefore = drag.y < box.top + box.height / 2;
  let next = isBefore ? group : group.nextElementSibling;
  while (next && (!next.matches("[data-category]") || next.dataset.category === drag.category)) next = next.nextElementSibling;
  return { element: group, name: group.dataset.label, zone: isBefore ? "before" : "after", before: next?.dataset.category ?? "" };
}

function scrollWhileNeeded() {
  if (!drag?.started) return;
  let box = boardOf();
  while (box && box !== document.body && !(box.scrollHeight > box.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(box).overflowY))) box = box.parentElement;
  const isPage = !box || box === document.body;
  const { top, bottom } = isPage ? { top: 0, bottom: innerHeight } : box.getBoundingClientRect();
  const push = (room) => Math.round(SCROLL_MOST_PX * Math.min(1, Math.max(0, 1 - room / SCROLL_EDGE_PX)));
  const by = push(bottom - drag.y) - push(drag.y - top);
  if (by) {
    (isPage ? document.scrollingElement : box).scrollTop += by;
    follow();
  }
  requestAnimationFrame(scrollWhileNeeded);
}

function move(event) {
  if (!drag || event.pointerId !== drag.pointer) return;
  if (event.buttons === 0) return end(); // released outside of the window
  const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) >= START_PX;
  if (!drag.started && !far) return;
  drag.x = event.clientX;
  drag.y = event.clientY;
  if (!drag.started) start();
  if (!drag) return;
  event.preventDefault();
  follow();
}

function drop(event) {
  if (!drag || event.pointerId !== drag.pointer) return;
  const { started, target, ids, category } = drag;
  const board = boardOf();
  end();
  if (!started) return;
  // The press began on a button: the click that follows is none.
  const swallow = (click) => {
    click.preventDefault();
    click.stopPropagation();
  };
  document.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => document.removeEventListener("click", swallow, true));
  if (!target || !board) return;
  if (category) return void load("POST", board.querySelector(`[data-category="${CSS.escape(category)}"]`).dataset.moveUrl, { source: board, target: board, swap: "none", values: { before: target.before } });
  if (target.zone === "onto") return void openMany(board, "merge", [...ids, target.topic], `&target=${target.topic}`);
  show(board, ids, target);
  place(board, ids, target);
  announce(board.dataset[`drop${target.zone[0].toUpperCase()}${target.zone.slice(1)}`].replace("%(name)s", target.name));
}

function end() {
  clearMarks();
  drag?.ghost?.remove();
  document.body.classList.remove("is-dragging-topics");
  drag = null;
}

document.addEventListener("pointerdown", press);
document.addEventListener("pointermove", move, { passive: false });
document.addEventListener("pointerup", drop);
document.addEventListener("pointercancel", end);
document.addEventListener("dragstart", (event) => drag && event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drag?.started) return;
  event.preventDefault();
  event.stopPropagation();
  end();
}, true);
