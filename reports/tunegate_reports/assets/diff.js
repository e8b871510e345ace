// Word-level difference between a reference and a response: a longest common subsequence, ends trimmed first.

const MOST_PAIRS = 400 * 400;

/** [[kind, text], …] with kind "same", "missing" (only in the reference) or "added"; null when too long to compare. */
function difference(reference, response) {
  const before = reference.match(/\s+|[^\s]+/g) ?? [];
  const after = response.match(/\s+|[^\s]+/g) ?? [];
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const left = before.slice(start, before.length - end);
  const right = after.slice(start, after.length - end);
  if (left.length * right.length > MOST_PAIRS || left.length + right.length > 4000) return null;
  const same = (words) => words.map((word) => ["same", word]);
  const parts = [...same(before.slice(0, start)), ...align(left, right), ...same(before.slice(before.length - end))];
  return merged(parts);
}

/** Align two lists of words that differ at both ends. */
function align(left, right) {
  const width = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] =
        left[i] === right[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const parts = [];
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      parts.push(["same", left[i]]);
      i += 1;
      j += 1;
    } else if (j >= right.length || (i < left.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      parts.push(["missing", left[i]]);
      i += 1;
    } else {
      parts.push(["added", right[j]]);
      j += 1;
    }
  }
  return parts;
}

/** Join neighbours of one kind. */
function merged(parts) {
  const joined = [];
  for (const [kind, text] of parts) {
    const last = joined.at(-1);
    if (last && last[0] === kind) last[1] += text;
    else joined.push([kind, text]);
  }
  return joined;
}
