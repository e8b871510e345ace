// The page: one case at a time, by keys or buttons. What a model wrote becomes text nodes only (text.js).

const at = (id) => document.getElementById(id);
const KEYS = { 1: "first", 2: "second", 0: "neither" };
let visibleSince = null;

function say(text) {
  at("status").textContent = text;
}

/** Add the time since the last call to the case in turn, if the page was visible and a case was shown. */
function clock() {
  const now = performance.now();
  if (visibleSince !== null) state.open.seconds += (now - visibleSince) / 1000;
  visibleSince = document.visibilityState === "visible" && !at("case").hidden ? now : null;
}

function save() {
  at("notice").hidden = keep();
  at("notice").textContent = "This browser keeps nothing for this page: download the file before you close it.";
}

function titled(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

function whole(text, name = "") {
  return element("div", { class: `text ${name}`, dir: "auto" }, ...(text ? visible(text) : ["(empty)"]));
}

function draw() {
  const begun = Boolean(state.reviewer), over = isOver();
  at("start").hidden = begun;
  at("case").hidden = !begun || over;
  at("end").hidden = !begun || !over;
  at("progress").max = DATA.showings.length;
  at("progress").value = state.done.length;
  for (const id of ["download", "undo"]) at(id).disabled = state.done.length === 0;
  at("undo").disabled &&= state.open.marks.length === 0;
  if (!begun || over) return;
  const { item, answers } = current();
  at("case-title").textContent = `${PAIRS ? "Pair" : "Answer"} ${state.done.length + 1} of ${DATA.showings.length}`;
  const prompts = (item.prompt ?? []).map(([role, text]) =>
    titled(role === "prompt" ? "Prompt" : `Prompt: ${role}`, whole(text)));
  const references = (item.references ?? []).map((text) => titled("Reference", whole(text)));
  const texts = answers.map(([, text], n) => titled(PAIRS ? ["Left", "Right"][n] : "Answer", whole(text, "answer")));
  const notes = item.notes ? [titled("What reviewers said", ...item.notes.map((note) => element("p", {}, ...visible(note))))] : [];
  at("shown").replaceChildren(...prompts, ...references, element("div", { class: "sides" }, ...texts), ...notes);
  drawParts();
  at("comment").value = state.open.comment;
}

/** The parts of the rubric with their marks; the next is the one that a key marks. */
function drawParts() {
  const { marks } = state.open;
  at("parts").replaceChildren(...DATA.parts.map(([, text], n) => element("li", { "aria-current": n === marks.length ? "step" : null },
    text, n < marks.length ? `: ${marks[n]}` : "")));
}

/** Show the next case from its top, and let a screen reader begin there. */
function turn(words) {
  draw();
  scrollTo(0, 0);
  const title = at(isOver() ? "end-title" : "case-title");
  title.focus({ preventScroll: true });
  say(`${words} ${title.textContent}`);
}

function judge(key) {
  if (isOver() || !state.reviewer) return;
  clock();
  const said = MARKS[key];
  if (mark(key)) {
    turn(`${said}.`);
  } else {
    draw();
    say(`${said}. ${DATA.parts[state.open.marks.length][1]}`);
  }
  clock();
  save();
}

function takeBack() {
  clock();
  if (!undo()) return;
  turn("Undone.");
  clock();
  save();
}

function download() {
  const url = URL.createObjectURL(new Blob([file()], { type: "application/jsonl" }));
  const name = state.reviewer.replace(/[^\p{L}\p{N}]+/gu, "-") || "reviewer";
  const link = element("a", { href: url, download: `review-${name}-${HEADER.page_sha256.slice(0, 8)}.jsonl` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  say(`Downloaded: ${state.done.length} of ${DATA.showings.length} judged.`);
}

function begin() {
  const name = at("reviewer").value.trim();
  if (!name) return at("reviewer").focus();
  state.reviewer = name;
  turn(`Hello, ${name}.`);
  clock();
  save();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target, key } = event;
  if (target.id === "reviewer") return key === "Enter" ? begin() : undefined;
  if (target.id === "comment") return key === "Escape" ? target.blur() : undefined;
  if (key in KEYS) judge(key);
  else if (key === "u") takeBack();
  else if (key === "c" && !at("case").hidden) at("comment").focus();
  else return;
  event.preventDefault();
}

const names = PAIRS ? { 1: "Left is better", 2: "Right is better", 0: "Can't tell" } : { 1: "Right", 2: "Wrong", 0: "Can't tell" };
for (const [key, id] of Object.entries(KEYS)) {
  at(id).append(`${names[key]} `, element("kbd", {}, key));
  at(id).addEventListener("click", () => judge(key));
}
at("criterion").append(...visible(DATA.criterion));
at("meaning").append(...DATA.meaning.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, ...visible(text))]));
at("undo").addEventListener("click", takeBack);
at("undo-last").addEventListener("click", takeBack);
at("download").addEventListener("click", download);
at("download-all").addEventListener("click", download);
at("begin").addEventListener("click", begin);
at("comment").addEventListener("input", () => {
  state.open.comment = at("comment").value;
  save();
});
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => {
  clock();
  save();
});
addEventListener("pagehide", () => {
  clock();
  save();
});
const before = resume();
draw();
clock();
if (before) say(`Resumed: ${before} of ${DATA.showings.length} were judged before.`);
