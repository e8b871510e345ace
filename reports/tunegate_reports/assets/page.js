// The interactive parts of the page: the table of cases, the grids, the theme, printing.

const data = JSON.parse(document.getElementById("data").textContent);
const cases = data.cases.map((item, number) => ({
  ...item,
  number,
  gateLabel: data.gates[item.gate],
  categories: [...new Set((item.findings ?? []).flatMap((finding) => (finding.errors ?? []).map(([name]) => name)))],
}));
const section = document.getElementById("cases");
fillFilters(section.querySelector("form"));
const table = new CaseTable(cases, section);
section.hidden = cases.length === 0;
section.querySelector("table").classList.toggle("one-gate", data.gates.length < 2);

function fillFilters(form) {
  const count = (verdict) => cases.filter((item) => item.verdict === verdict).length;
  const found = Object.keys(SIGNS).filter(count).sort((a, b) => RANK[a] - RANK[b]);
  const choices = [["", `All ${cases.length}`], ...found.map((verdict) =>
    [verdict, `${SIGNS[verdict]} ${WORDS[verdict]} ${count(verdict)}`])];
  for (const [verdict, words] of choices) {
    const radio = element("input", { type: "radio", name: "verdict", value: verdict, checked: verdict === "" });
    form.querySelector(".verdicts").append(element("label", {}, radio, element("span", {}, words)));
  }
  const options = {
    gate: data.gates.map((label, number) => [number, label]),
    category: names((item) => item.categories),
    tag: names((item) => item.tags ?? []),
  };
  for (const [name, values] of Object.entries(options)) {
    const menu = form.elements[name];
    menu.append(...values.map(([value, label]) => element("option", { value }, label)));
    menu.hidden = values.length < 2 && name !== "category" || values.length === 0;
  }
}

function names(of) {
  return [...new Set(cases.flatMap(of))].sort().map((name) => [name, name]);
}

// --- from the charts to the cases ---

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-gate]");
  if (!button) return;
  table.clear({ ...button.dataset }); // its gate, with an error category or a tag
  section.scrollIntoView();
  section.focus({ preventScroll: true });
});

function followHash() {
  const [, number] = location.hash.match(/^#case-(\d+)$/) ?? [];
  if (number !== undefined) table.show(Number(number));
}
window.addEventListener("hashchange", followHash);
document.addEventListener("click", (event) => {
  if (event.target.closest(`a[href="${location.hash}"]`)) followHash(); // a second click leaves the hash as it is
});
followHash();

// --- grids: one tab stop each, arrow keys inside, a tip on hover and focus ---

const tip = document.getElementById("tip");

for (const grid of document.querySelectorAll(".grid")) {
  const cells = [...grid.querySelectorAll("a")];
  const columns = Number(grid.className.match(/wide-(\d+)/)[1]);
  cells.forEach((cell, index) => { cell.tabIndex = index ? -1 : 0; });
  grid.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -Infinity, End: Infinity };
    const at = cells.indexOf(document.activeElement);
    if (!(event.key in steps) || at < 0) return;
    event.preventDefault();
    const target = cells[Math.min(Math.max(at + steps[event.key], 0), cells.length - 1)];
    cells[at].tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  });
  for (const on of ["pointerover", "focusin"]) grid.addEventListener(on, (event) => showTip(event.target.closest("a")));
  for (const off of ["pointerleave", "focusout"]) grid.addEventListener(off, hideTip);
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

function showTip(cell) {
  if (!cell) return;
  const item = cases[Number(cell.getAttribute("href").slice("#case-".length))];
  const head = element("p", {}, badge(item.verdict), " ", element("strong", {}, ...visible(item.id)));
  const lines = [item.reason, item.response ? `“${snippet(item.response)}”` : ""].filter(Boolean);
  tip.replaceChildren(head, ...lines.map((line) => element("p", { dir: "auto" }, snippet(line, 200))));
  tip.hidden = false;
  cell.setAttribute("aria-describedby", "tip");
  const box = cell.getBoundingClientRect();
  const left = Math.min(Math.max(box.left, 8), document.documentElement.clientWidth - tip.offsetWidth - 8);
  const below = box.bottom + tip.offsetHeight + 12 < window.innerHeight;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${(below ? box.bottom + 6 : box.top - tip.offsetHeight - 6) + window.scrollY}px`;
}

function hideTip() {
  tip.hidden = true;
  document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
}

// --- theme ---

const toggle = document.getElementById("theme");
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function showTheme() {
  const dark = (root.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
  toggle.setAttribute("aria-pressed", String(dark));
  return dark;
}
toggle.addEventListener("click", () => {
  root.dataset.theme = showTheme() ? "light" : "dark";
  showTheme();
});
systemDark.addEventListener("change", showTheme);
showTheme();

// --- printing: open folded panels, unfold cases that did not pass, and print the rest as one line per case ---

const PRINTED_DETAILS = 40;
const PRINTED_ROWS = 400;
let foldAgain = [];

window.addEventListener("beforeprint", () => {
  table.drawMore(Math.max(0, PRINTED_ROWS - table.drawn));
  section.querySelector(".print-note").textContent =
    `The first ${table.drawn} of ${table.shown.length} cases; cases that did not pass come first. The HTML file has all of them.`;
  const folded = [...document.querySelectorAll("details:not([open])")];
  const lines = [...table.body.querySelectorAll("tr.case:not(.PASS)")].filter((line) => !isOpen(line));
  const unfolded = lines.slice(0, PRINTED_DETAILS);
  folded.forEach((part) => { part.open = true; });
  unfolded.forEach((line) => table.unfold(line, true));
  foldAgain = [() => folded.forEach((part) => { part.open = false; }), () => unfolded.forEach((line) => table.unfold(line, false))];
});
window.addEventListener("afterprint", () => foldAgain.splice(0).forEach((fold) => fold()));
