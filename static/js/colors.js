// A category may have a colour typed as hex. The CSP forbids style attributes, so it arrives as data:
// <span class="chip" data-color="#a13f8c">…</span>   Palette names (data-color="teal") need no script.

import { onNewContent } from "./htmx-config.js";

const HEX = /^#(?:[0-9a-f]{3}|[0-9a-f]{6})$/i;

function paint(element) {
  const color = element.dataset.color;
  if (HEX.test(color)) element.style.setProperty("--c", color);
}

export function paintColors(root) {
  if (root instanceof Element && root.matches('[data-color^="#"]')) paint(root);
  root.querySelectorAll('[data-color^="#"]').forEach(paint);
}

onNewContent(paintColors);
