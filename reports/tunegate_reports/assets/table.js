// The table of cases: filtered in memory, drawn in chunks as the reader scrolls, unfolded on demand.

const CHUNK = 60;
const RANK = { FAIL: 0, INVALID: 1, PASS: 2 };

class CaseTable {
  /** `cases` in the order of the page's numbers; `section` holds the form, the table and the button for more. */
  constructor(cases, section) {
    this.cases = cases;
    this.form = section.querySelector("form");
    this.body = section.querySelector("tbody");
    this.more = section.querySelector(".more");
    this.status = section.querySelector("[role=status]");
    this.sorted = [...cases].sort((a, b) => RANK[a.verdict] - RANK[b.verdict] || b.gate - a.gate || a.number - b.number);
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    section.querySelector(".clear").addEventListener("click", () => this.clear());
    this.more.addEventListener("click", () => this.drawMore());
    this.body.addEventListener("click", (event) => this.clicked(event));
    const near = (seen) => seen.some((entry) => entry.isIntersecting) && this.drawMore();
    this.observer = new IntersectionObserver(near, { rootMargin: "800px" });
    this.filter();
  }

  /** Clear every filter, then set some: clear({category: "empty"}). */
  clear(wanted = {}) {
    this.form.reset();
    for (const [name, value] of Object.entries(wanted)) this.form.elements[name].value = value;
    this.filter();
  }

  filter() {
    const wanted = Object.fromEntries(new FormData(this.form));
    const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.sorted.filter(
      (item) =>
        (!wanted.verdict || item.verdict === wanted.verdict) &&
        (wanted.gate === "" || item.gate === Number(wanted.gate)) &&
        (!wanted.category || item.categories.includes(wanted.category)) &&
        (!wanted.tag || (item.tags ?? []).includes(wanted.tag)) &&
        words.every((word) => searchable(item).includes(word)),
    );
    this.body.replaceChildren();
    this.drawn = 0;
    this.drawMore();
    const all = this.cases.length.toLocaleString("en");
    this.status.textContent = `${this.shown.length.toLocaleString("en")} of ${all} cases`;
  }

  drawMore(count = CHUNK) {
    const next = this.shown.slice(this.drawn, this.drawn + count);
    this.body.append(...next.map(row));
    this.drawn += next.length;
    this.more.hidden = this.drawn >= this.shown.length;
    this.observer.unobserve(this.more); // observing again triggers another check, in case the end is still in view
    this.observer.observe(this.more);
  }

  clicked(event) {
    const line = event.target.closest("tr.case");
    const selecting = String(document.getSelection()) !== "" && !event.target.closest("button");
    if (line && !selecting) this.unfold(line, !isOpen(line));
  }

  unfold(line, open) {
    if (open === isOpen(line)) return;
    const button = line.querySelector("button");
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      const id = `detail-${line.dataset.number}`;
      const columns = [...line.cells].filter((cell) => cell.offsetWidth > 0).length;
      const cell = element("td", { colspan: columns }, detail(this.cases[line.dataset.number]));
      line.after(element("tr", { class: "unfolded", id }, cell));
      button.setAttribute("aria-controls", id);
    } else {
      line.nextElementSibling.remove();
      button.removeAttribute("aria-controls");
    }
  }

  /** Bring one case into view, unfolded; filters that hide it are cleared. */
  show(number) {
    const item = this.cases[number];
    if (!item) return;
    if (!this.shown.includes(item)) this.clear();
    this.drawMore(Math.max(0, this.shown.indexOf(item) + 1 - this.drawn));
    const line = this.body.querySelector(`tr[data-number="${number}"]`);
    this.unfold(line, true);
    line.scrollIntoView({ block: "start" });
    line.querySelector("button").focus({ preventScroll: true });
  }
}

function isOpen(line) {
  return line.querySelector("button").getAttribute("aria-expanded") === "true";
}

function searchable(item) {
  item.searched ??= [item.id, item.reason, item.response, item.group, ...(item.references ?? []), ...(item.tags ?? []),
    ...(item.prompt ?? []).map(([, text]) => text), ...item.categories].filter(Boolean).join("\n").toLowerCase();
  return item.searched;
}

function row(item) {
  const open = element("button", { type: "button", "aria-expanded": "false", id: `case-${item.number}` }, ...visible(item.id));
  return element("tr", { class: `case ${item.verdict}`, "data-number": item.number },
    element("td", {}, badge(item.verdict)),
    element("th", { scope: "row" }, open),
    element("td", { class: "gate-cell" }, item.gateLabel),
    element("td", { class: "reason-cell", dir: "auto" }, snippet(item.reason ?? "")),
    element("td", { class: "response-cell", dir: "auto" },
      item.response ? snippet(item.response) : element("span", { class: "quiet" }, "(empty)")));
}
