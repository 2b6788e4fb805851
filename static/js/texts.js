// What scripts say, in the language of the page. English is written where it is used; base.html brings the others:
// <script type="application/json" id="texts">{"Copied.": "Kopiert.", "%(n)s review": ["%(n)s Prüfung", "%(n)s Prüfungen"]}</script>
// `make messages` collects the first arguments, so they are plain strings; values go into %(name)s.

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function gettext(text, values = {}) {
  return fill(texts[text] ?? text, values);
}

/** The singular for one, else the plural; %(n)s is the number as people write it. English and German agree on when. */
export function ngettext(one, many, n, values = {}) {
  const form = n === 1 ? 0 : 1;
  return fill(texts[one]?.[form] ?? [one, many][form], { n: number(n), ...values });
}

/** As the server writes numbers (topicassign/numbers.py). */
export function number(value, options = {}) {
  const language = document.documentElement.lang || "en";
  const text = new Intl.NumberFormat(language, options).format(value);
  return language.startsWith("en") ? text.replaceAll(",", "\u202f") : text;
}
