// Which topics a few letters mean, best first. Not a behaviour itself: topic-palette.js, topic-picker.js and topic-board.js draw what it says.
//
// Two letters are enough for any of some hundred topics: "wt" finds "Waiting time" (initials of its words), "dt" also
// "Delivery: Time" (category, then topic), "wa" whatever has a word that begins so. Small mistakes are forgiven from
// four letters on. Topics proposed for the row and those used last come before others that fit about as well.

export function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/ß/g, "ss").toLowerCase();
}

function wordsOf(text) {
  return fold(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
}

/** Read a topic once; matching then only compares. */
export function prepare({ id, label, category = "" }) {
  const words = wordsOf(label);
  const around = wordsOf(category);
  const initials = words.map((word) => word[0]).join("");
  return { id, name: fold(label), words, around, initials, all: around.map((word) => word[0]).join("") + initials };
}

function inOrder(letters, text) {
  let at = -1;
  for (const letter of letters) {
    at = text.indexOf(letter, at + 1);
    if (at < 0) return false;
  }
  return true;
}

/** One letter wrong, missing, too many or swapped? `text` is cut to what was typed. */
function nearly(typed, text) {
  for (const length of [typed.length, typed.length - 1, typed.length + 1]) {
    const part = text.slice(0, length);
    let head = 0;
    while (head < part.length && head < typed.length && part[head] === typed[head]) head += 1;
    let tail = 0;
    while (tail < part.length - head && tail < typed.length - head && part.at(-1 - tail) === typed.at(-1 - tail)) tail += 1;
    const [a, b] = [typed.slice(head, typed.length - tail), part.slice(head, part.length - tail)];
    if (Math.max(a.length, b.length) <= 1 || (a.length === 2 && b.length === 2 && a[0] === b[1] && a[1] === b[0])) return true;
  }
  return false;
}

/** How well what was typed fits a prepared topic: 0 = not at all, 120 = it is its name. */
export function fit(typed, topic) {
  const wanted = fold(typed).trim().replace(/\s+/g, " ");
  if (!wanted) return 1;
  const { name, words, around, initials, all } = topic;
  if (name === wanted) return 120;
  if (name.startsWith(wanted)) return 90;
  const parts = wanted.split(" ");
  const every = [...around, ...words];
  if (parts.length > 1) return parts.every((part) => every.some((word) => word.startsWith(part))) ? 84 : name.includes(wanted) ? 60 : 0;
  if (words.some((word) => word.startsWith(wanted))) return 84;
  if (wanted.length > 1 && initials.startsWith(wanted)) return 82;
  if (wanted.length > 1 && around.length && (around[0][0] + initials).startsWith(wanted)) return 80;
  if (wanted.length > 1 && all.includes(wanted)) return 76;
  if (around.some((word) => word.startsWith(wanted))) return 66;
  // First letter of the category, then a word of the topic: "dsp" = Delivery: Speed.
  if (wanted.length > 2 && around.some((word) => word[0] === wanted[0]) && words.some((word) => word.startsWith(wanted.slice(1)))) return 64;
  if (name.includes(wanted)) return 56;
  if (wanted.length > 3 && every.some((word) => word.length > 3 && nearly(wanted, word))) return 40;
  if (name[0] === wanted[0] && inOrder(wanted, name)) return 24;
  return inOrder(wanted, name) ? 12 : 0;
}

/**
 * Return the prepared topics that fit, best first: [{topic, points}].
 * `proposed`: Set of ids; `recent`: ids, the last used first. Both lift a topic that fits above others.
 */
export function rank(typed, topics, { proposed = new Set(), recent = [] } = {}) {
  const found = [];
  topics.forEach((topic, order) => {
    let points = fit(typed, topic);
    if (!points) return;
    const strong = points > 30;
    const at = recent.indexOf(topic.id);
    if (points < 120 && strong && proposed.has(topic.id)) points += 14;
    if (points < 120 && strong && at >= 0) points += Math.max(4, 12 - at);
    found.push({ topic, points, order });
  });
  found.sort((a, b) => b.points - a.points || a.topic.name.length - b.topic.name.length || a.order - b.order);
  // Weak matches only help when there is nothing better.
  return found.length && found[0].points > 30 ? found.filter((one) => one.points > 30) : found;
}
