// What those need who may change the topics of a board: dragging, keys, menus, selecting. See the parts.
// <topic-board data-editable data-styles="/static/css/pages/topic-editing.css">: how its dialogs look comes with it, for most who
// read topics never open one.

import { onNewContent } from "./htmx-config.js";

import "./topic-drag.js";
import "./topic-keys.js";
import "./topic-menu.js";
import "./topic-selection.js";

onNewContent(() => {
  const href = document.querySelector("topic-board[data-styles]")?.dataset.styles;
  if (!href || document.querySelector(`link[href="${CSS.escape(href)}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
});
