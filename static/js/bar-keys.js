// A chart of many bars is one stop of the Tab key: arrow keys go from bar to bar, Home and End to the ends.
// <svg data-bars data-readout="#score-readout"><a data-rows href="…" data-about="Delivery time: 63"><rect/></a> …</svg>
// <p id="score-readout" data-default="Point at a bar …">Point at a bar …</p>
// What the pointer or the focus is on is told in the readout. (A focused link is named to screen readers anyway.)

function bars(chart) {
  return [...chart.querySelectorAll("a")];
}

function tell(target) {
  const chart = target.closest?.("[data-bars]");
  const readout = chart && document.querySelector(chart.dataset.readout);
  const bar = target.closest?.("[data-bars] a");
  if (readout) readout.textContent = bar?.dataset.about ?? readout.dataset.default;
}

for (const name of ["pointerover", "focusin"]) document.addEventListener(name, (event) => tell(event.target));
for (const name of ["pointerout", "focusout"])
  document.addEventListener(name, (event) => {
    const chart = event.target.closest?.("[data-bars]");
    if (!chart || chart.contains(event.relatedTarget)) return;
    const readout = document.querySelector(chart.dataset.readout);
    if (readout) readout.textContent = readout.dataset.default;
  });

document.addEventListener("keydown", (event) => {
  const bar = event.target.closest?.("[data-bars] a");
  if (!bar || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = bars(bar.closest("[data-bars]"));
  const at = all.indexOf(bar);
  const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const chosen = all[(next + all.length) % all.length];
  bar.setAttribute("tabindex", "-1");
  chosen.setAttribute("tabindex", "0");
  chosen.focus();
});
