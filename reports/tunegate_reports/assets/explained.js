// Why the model gave an answer, if the run explained it: folded; the strips are drawn when it is opened.

function explained(item) {
  const found = item.explained;
  if (!found) return null;
  if (found.fault) return titled("Why this answer", element("p", { class: "quiet" }, ...visible(found.fault)));
  const box = element("details", { class: "explained" }, element("summary", {}, "Why this answer"));
  box.addEventListener("toggle", () => {
    const words = found.words.map((line) => element("p", {}, ...visible(line)));
    box.append(...words, ...found.strips.flatMap((strip) => heatStrip(found, strip)));
  }, { once: true });
  return box;
}

/** The prompt with its pieces marked: a colour, a line, and a number at the highest. */
function heatStrip(found, strip) {
  const signs = [...found.text]; // characters as Python counts them
  let from = 0;
  const pieces = found.ends[strip.unit].map((end, place) => {
    const text = signs.slice(from, end).join("");
    from = end;
    const level = strip.levels[place];
    const rank = strip.top.indexOf(place) + 1;
    if (!level && !rank) return text;
    const words = text.trimEnd();
    const number = rank ? element("sup", {}, String(rank)) : null;
    return element("span", { class: `${level < 0 ? "n" : "s"}${Math.abs(level)}` }, ...visible(words), number, text.slice(words.length));
  });
  return [element("p", { class: "quiet" }, ...visible(strip.name)),
    element("p", { class: "strip", tabindex: "0", role: "group", "aria-label": strip.name, dir: "auto" }, ...pieces)];
}
