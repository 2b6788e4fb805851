// What those need who may change the topics of a board: dragging, keys, menus, selecting, adding. See the parts.

import "./topic-drag.js";
import "./topic-keys.js";
import "./topic-menu.js";
import "./topic-selection.js";
