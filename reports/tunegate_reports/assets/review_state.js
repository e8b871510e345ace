// What a reviewer did so far, kept in the browser under the hash of the page. No part of this file draws anything.

const DATA = JSON.parse(document.getElementById("data").textContent);
const HEADER = DATA.header;
const PLACE = `tunegate-review:${HEADER.page_sha256}`;
const PAIRS = HEADER.kind === "pairs";
const MARKS = PAIRS
  ? { 1: "left is better", 2: "right is better", 0: "can't tell" }
  : { 1: "right", 2: "wrong", 0: "can't tell" };

/** A case that is not judged yet: the marks of its parts so far, a comment, and the seconds that it was visible. */
function untouched() {
  return { marks: [], comment: "", seconds: 0 };
}

let state = { reviewer: HEADER.reviewer, done: [], open: untouched() };

/** Take up what the browser kept; returns how many cases were judged before. */
function resume() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(PLACE));
  } catch {
    return 0;
  }
  if (kept === null || !Array.isArray(kept.done) || kept.done.length > DATA.showings.length) return 0;
  state = kept;
  return state.done.length;
}

/** Returns whether the browser keeps it. */
function keep() {
  try {
    localStorage.setItem(PLACE, JSON.stringify(state));
    return true;
  } catch {
    return false;
  }
}

function isOver() {
  return state.done.length >= DATA.showings.length;
}

/** The case in turn: its item, and its answers from left to right. */
function current() {
  return shown(state.done.length);
}

function shown(turn) {
  const [place, repeatOf, swapped] = DATA.showings[turn];
  const item = DATA.items[place];
  return { item, repeatOf, answers: swapped ? [...item.answers].reverse() : item.answers };
}

/** Mark the case, or its next part; returns whether the case is judged now. */
function mark(key) {
  state.open.marks.push(MARKS[key]);
  if (state.open.marks.length < DATA.parts.length) return false;
  state.done.push(state.open);
  state.open = untouched();
  return true;
}

/** Take back the last mark; returns whether there was one. */
function undo() {
  if (state.open.marks.length === 0) {
    if (state.done.length === 0) return false;
    state.open = state.done.pop();
  }
  state.open.marks.pop();
  return true;
}

/** The verdict that the marks of the parts add up to: right if all are, wrong if one is. */
function verdict(marks) {
  return [MARKS[2], MARKS[0], MARKS[1]].find((one) => marks.includes(one));
}

/** The file to download: a line about the page, and a line for each case that was judged. */
function file() {
  const rows = state.done.map((one, turn) => {
    const { item, repeatOf, answers } = shown(turn);
    return {
      case_id: item.id,
      prompt_sha256: item.prompt_sha256,
      response_sha256: answers[0][0],
      ...(PAIRS ? { other_sha256: answers[1][0] } : {}),
      reviewer: state.reviewer,
      label: verdict(one.marks),
      ...(DATA.parts.length ? { items: Object.fromEntries(DATA.parts.map(([name], n) => [name, one.marks[n]])) } : {}),
      comment: one.comment.trim(),
      seconds: Math.round(one.seconds * 10) / 10,
      order: turn + 1,
      repeat_of: repeatOf || null,
    };
  });
  const header = { ...HEADER, reviewer: state.reviewer, showings: DATA.showings.length, saved: new Date().toISOString() };
  return [header, ...rows].map((row) => `${JSON.stringify(row)}\n`).join("");
}
