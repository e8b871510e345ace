"""Stored answers: `tunegate gate --responses`, start-up included, and ROUGE-L against the bare `rouge_score` loop.

Goals: 100 answers under 1.1 s; 10,000 exact under 2.8 s; 10,000 ROUGE-L at most 1.2 times the bare loop;
100,000 of exact + rougeL + errors under 15 s and 500 MiB on two cores, and linear.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from tests.bench.processes import Cost, measure

WORDS = """
autosomal recessive dominant inheritance pattern mutation gene chromosome condition prevalence cell copies altered
parents carriers signs symptoms each one in about people worldwide 40,000 100,000 rare
""".split()  # noqa: SIM905
EXACT = "checks: [exact]"
ROUGE = "checks: [{rougeL: {min: 0.1}}]"
ALL = (
    "checks: [exact, {rougeL: {min: 0.1}}, "
    "{errors: {forbid: [repetition, too_long, empty], max: {truncated: 3}, report: [unsupported_number]}}]"
)
PAIRS = 3
BARE_LOOP = """
import json, sys
from rouge_score.rouge_scorer import RougeScorer
scorer = RougeScorer(["rougeL"])
cases = [json.loads(line) for line in open("cases.jsonl")]
answers = {row["id"]: row["response"] for row in map(json.loads, open("answers.jsonl"))}
total = sum(scorer.score(case["reference"], answers[case["id"]])["rougeL"].fmeasure for case in cases)
"""


def main() -> None:
    small = _gate(100, EXACT)
    print(f"100 exact: {small.seconds:.2f} s, {small.peak_mib:.0f} MiB")
    exact = _gate(10_000, EXACT)
    print(f"10,000 exact: {exact.seconds:.2f} s, {exact.peak_mib:.0f} MiB")
    for label, right in (("most of them right", 0.95), ("none of them right", 0.0)):
        pairs = [(_gate(10_000, ROUGE, right).seconds, _bare_rouge(10_000, right).seconds) for _ in range(PAIRS)]
        ratios = sorted(gate / bare for gate, bare in pairs)
        print(f"10,000 ROUGE-L, {label}: {min(gate for gate, _ in pairs):.2f} s, {ratios[PAIRS // 2]:.2f} times the")
        print(f"  bare loop (median of {PAIRS} pairs, {ratios[0]:.2f} to {ratios[-1]:.2f})")
    half, whole = _gate(50_000, ALL), _gate(100_000, ALL)
    print(f"100,000 exact + rougeL + errors: {whole.seconds:.1f} s ({whole.cpu_seconds:.1f} s of the processors),")
    print(f"  {whole.peak_mib:.0f} MiB in the largest process, {whole.tree_mib:.0f} MiB in all,")
    print(f"  {whole.cpu_seconds / half.cpu_seconds:.2f} times the processor seconds of half as many (2.00 is linear)")


def _gate(rows: int, checks: str, right: float = 0.95) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), rows, checks, right)
        code = "import tunegate.cli; tunegate.cli.console_main()"
        arguments = ["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--json"]
        cost = measure([sys.executable, "-c", code, *arguments], cwd=folder)
        if cost.exit_code not in (0, 1):
            raise SystemExit(f"the gate reached no verdict (exit code {cost.exit_code})")
        return cost


def _bare_rouge(rows: int, right: float) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), rows, ROUGE, right)
        return measure([sys.executable, "-c", BARE_LOOP], cwd=folder)


def _write(folder: Path, rows: int, checks: str, right: float) -> None:
    """Cases and answers of 5 to 30 words; `right` is the share of answers that equal the reference."""
    rng = random.Random(rows)
    plan = f"plan: {{draw: {rows}, accept: {rows * 9 // 10}}}"
    (folder / "suite.yaml").write_text(f"cases: cases.jsonl\n{checks}\n{plan}\n")
    with (folder / "cases.jsonl").open("w") as cases, (folder / "answers.jsonl").open("w") as answers:
        for number in range(rows):
            reference = " ".join(rng.choices(WORDS, k=rng.randint(5, 30)))
            response = reference if rng.random() < right else " ".join(rng.choices(WORDS, k=rng.randint(5, 30)))
            prompt = f"Say it, case {number}: {reference}"
            cases.write(json.dumps({"id": str(number), "prompt": prompt, "reference": reference}) + "\n")
            answers.write(json.dumps({"id": str(number), "response": response}) + "\n")
