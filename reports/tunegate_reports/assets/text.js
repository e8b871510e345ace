"use strict";
// Elements and text. What a model wrote always becomes a text node: nothing on this page parses it as HTML.

/** An element: element("p", {class: "note"}, "text", otherElement). Properties that are null are left out. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Invisible characters, and those that reorder text: shown as their code, so that they cannot deceive the reader.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Text as nodes, with unseen characters as labelled chips. */
function visible(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(UNSEEN)) {
    const code = match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    nodes.push(text.slice(from, match.index), element("span", { class: "unseen" }, `U+${code}`));
    from = match.index + 1;
  }
  nodes.push(text.slice(from));
  return nodes;
}

/** The first characters of a text, on one line. */
function snippet(text, length = 140) {
  const line = text.slice(0, length * 2).replace(UNSEEN, " ").replace(/\s+/g, " ").trim();
  return line.length < length && text.length <= length * 2 ? line : `${line.slice(0, length)}…`;
}

const LONG = 4000;

/** A block of text; a long text is cut, with a button that shows the rest. */
function block(text, nodes = visible) {
  const box = element("div", { class: "text", dir: "auto", tabindex: text.length > 600 ? "0" : null });
  if (text.length <= LONG) {
    box.append(...nodes(text));
    return box;
  }
  const rest = element("button", { type: "button" }, `Show all ${text.length.toLocaleString("en")} characters`);
  rest.addEventListener("click", () => box.replaceChildren(...nodes(text)));
  box.append(...nodes(text.slice(0, LONG)), "… ", rest);
  return box;
}

const SIGNS = { PASS: "✓", FAIL: "×", INVALID: "?" };
const WORDS = { PASS: "passed", FAIL: "missed", INVALID: "not judged" };

/** A verdict as a sign and a word. */
function badge(verdict) {
  const sign = element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[verdict]);
  return element("span", { class: `badge ${verdict}` }, sign, WORDS[verdict]);
}
