// One case, unfolded: prompt, response with errors marked, reference with differences, and the finding of every check.

function detail(item) {
  const texts = element("div", { class: "detail-texts" }, ...prompts(item), ...answers(item), explained(item));
  const side = element("div", { class: "detail-side" }, findingsTable(item), facts(item));
  return element("div", { class: "detail" }, texts, side);
}

function titled(title, ...children) {
  return element("section", {}, element("h3", {}, title), ...children);
}

function prompts(item) {
  const turns = item.prompt ?? [];
  return turns.map(([role, text]) => titled(role === "prompt" ? "Prompt" : `Prompt: ${role}`, block(text)));
}

function answers(item) {
  const response = item.response ?? "";
  const spans = (item.findings ?? []).flatMap((finding) => finding.errors ?? []);
  const shown = response ? block(response, (text) => marked(text, spans)) : element("p", { class: "quiet" }, "(empty)");
  const part = item.judged ?? response;
  const judged = item.judged === undefined ? [] : [titled("Judged part", block(part || "(empty)"))];
  return [titled("Response", shown, placeless(spans)), ...judged, ...(item.references ?? []).map((text, n, all) =>
    titled(all.length > 1 ? `Reference ${n + 1}` : "Reference", compared(text, part))), ...samples(item)];
}

/** All answers to a case that was asked several times. The response above is the first with the verdict of the case. */
function samples(item) {
  return (item.samples ?? []).map(([verdict, text, reason], n, all) => titled(`Answer ${n + 1} of ${all.length}`,
    element("p", {}, badge(verdict), " ", element("span", { class: "quiet" }, ...visible(reason))), block(text)));
}

/** Text with its error spans marked; where spans overlap, only the first is drawn. */
function marked(text, spans) {
  const nodes = [];
  let from = 0;
  for (const [category, start, end] of [...spans].sort((a, b) => a[1] - b[1])) {
    if (start < from || end <= start || start >= text.length) continue;
    const name = element("span", { class: "category" }, category);
    nodes.push(...visible(text.slice(from, start)), element("mark", {}, ...visible(text.slice(start, end)), name));
    from = end;
  }
  nodes.push(...visible(text.slice(from)));
  return nodes;
}

/** Error categories that have no place in the text. */
function placeless(spans) {
  const names = spans.filter(([, start, end]) => start === end).map(([category]) => category);
  return names.length ? element("p", { class: "quiet" }, `Also: ${[...new Set(names)].join(", ")}`) : null;
}

/** A reference, and how the response differs from it. */
function compared(reference, response) {
  const box = block(reference);
  if (reference === response) return element("div", {}, box, element("p", { class: "quiet" }, "The response is the same."));
  const parts = response ? difference(reference, response) : null;
  if (parts === null || !parts.some(([kind, text]) => kind === "same" && text.trim())) return box;
  const names = { same: "span", missing: "del", added: "ins" };
  const nodes = parts.map(([kind, text]) => element(names[kind], {}, ...visible(text)));
  const caption = element("p", { class: "quiet" }, "Difference: ", element("del", {}, "only in the reference"), " ",
    element("ins", {}, "only in the response"));
  return element("div", {}, box, caption, element("div", { class: "text", dir: "auto" }, ...nodes));
}

function findingsTable(item) {
  const rows = (item.findings ?? []).map((finding) =>
    element("tr", {},
      element("th", { scope: "row" }, finding.check,
        finding.version && finding.version !== "1" ? element("span", { class: "quiet" }, ` v${finding.version}`) : null),
      element("td", {}, badge(finding.verdict)),
      element("td", { class: "value" }, value(finding.value), finding.cutoff ? ` / ${finding.cutoff}` : ""),
      element("td", {}, ...visible(finding.reason ?? ""),
        finding.detail ? element("details", {}, element("summary", {}, "Raw detail"), block(finding.detail)) : null)));
  if (!rows.length) return titled("Checks", element("p", { class: "quiet" }, item.reason ?? "No check judged this case."));
  const head = element("tr", {}, ...["Check", "Verdict", "Value / cut-off", "Reason"].map((name) =>
    element("th", { scope: "col" }, name)));
  return titled("Checks", element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function value(measured) {
  if (measured === null || measured === undefined) return "none";
  if (measured === true) return "yes";
  if (measured === false) return "no";
  return typeof measured === "number" ? String(Math.round(measured * 10000) / 10000) : snippet(measured, 60);
}

function facts(item) {
  const rows = [["Tags", (item.tags ?? []).join(", ")], ["Group", item.group], ["Ended by", item.finish], ["Gate", item.gateLabel]];
  const filled = rows.filter(([, text]) => text);
  return element("dl", { class: "facts" }, ...filled.flatMap(([name, text]) =>
    [element("dt", {}, name), element("dd", {}, ...visible(text))]));
}
