"""Proofs for the words of the command line: another exit code, output or file."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.elsewhere_files import HELD, LM_OPEN, Held
from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tests.support.option_pipelines import ROWS, all_alike
from tests.support.option_proofs import CASES, SUITE, Proof, Proofs, ShownBy, changed
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.asking import asking
from tunegate.commands.leakage import leakage
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import asked_prompts
from tunegate.models.openai_server import OpenAIModel
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_suites.judges.fit import fitted_json

FACTS = [
    {
        "id": f"f{n}", "condition": f"disease {n}", "answer": f"GENE{n}X", "name": f"the gene GENE{n}X",
        "sort": "ab"[n % 2],
        "context": f"Mutations in GENE{n}X cause disease {n}. The gene is long. It is known.",
        "question": f"Which gene causes disease number {n}?",
    }
    for n in range(12)
]  # fmt: skip
FACTS_SUITE = {
    "cases": {"path": "facts.jsonl", "prompt": "{context} {question}", "reference": "{answer}"},
    "checks": ["exact"],
    "plan": {"draw": 6, "accept": 5},
}
SWAP = {"fields": ["context", "answer"], "value": "{answer}"}
RULES = {"rules": [{"name": "another gene", "kind": "directional", "change": [{"swap": SWAP}]}]}
LABELS = [
    {
        "question": f"Which is {n}?", "asked": f"Number {n}?", "reference": f"GENE{n}X", "gold": "nothing",
        "answer": f"It is GENE{n}X." if n % 2 else "It is not known.", "said": "so", "passage": f"passage {n}",
        "human": bool(n % 2), "other": ["good", "bad", "skip"][0 if n % 2 else 1 if n % 4 else 2], "row": f"r{n}",
    }
    for n in range(60)
]  # fmt: skip
MORE = ("", ", and a good many others that are told of elsewhere")
WEIGHTS = fitted_json({"weights": {"contains": 1.0}, "bias": -0.5, "cut": 0.0}, [], {})
JUDGE = {"compare": {"features": ["contains"], "fitted": "weights.json"}}


def write_facts(folder: Path) -> None:
    """A suite whose cases rules change."""
    write_jsonl(folder / "facts.jsonl", FACTS)
    (folder / "facts.yaml").write_text(json.dumps(FACTS_SUITE))


@cache
def laid_out() -> Path:
    """A folder with all that the commands are called on; made once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="tunegate-options-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        write_jsonl(Path("cases.jsonl"), CASES)
        Path("suite.yaml").write_text(json.dumps(SUITE))
        Path("other.yaml").write_text(json.dumps(changed(SUITE, {"plan.draw": 16})))
        right = [{"id": row["id"], "response": row["reference"]} for row in CASES]
        write_jsonl(Path("better.jsonl"), right)
        answers = [
            {**one, "response": one["response"] if row["known"] else "?"} for one, row in zip(right, CASES, strict=True)
        ]
        write_jsonl(Path("answers.jsonl"), answers)
        twice = {**ROWS[1], "completion": "write to ada.lovelace@gmail.com"}
        write_jsonl(Path("train.jsonl"), [*ROWS, ROWS[0], twice])
        write_jsonl(Path("leaky.jsonl"), [{"prompt": row["prompt"], "completion": row["reference"]} for row in CASES])
        for name, held in {
            "samples.jsonl": LM_OPEN,
            "two.json": "promptfoo/two.json",
            "log.json": "inspect/two_epochs.json",
        }.items():
            shutil.copy(Held(held, "", 0).path, name)
        for name in ("lm_eval/facts_open.yaml", "lm_eval/facts_choice.yaml", "promptfoo/two.yaml", "questions.jsonl"):
            shutil.copy(HELD / name, Path())
        task = Path("facts_open.yaml").read_text()
        Path("facts_open.yaml").write_text(task.replace("A-Za-z0-9]", "A-Za-z0-9 ]"))
        write_facts(Path())
        Path("few.yaml").write_text(
            json.dumps(changed(FACTS_SUITE, {"cases.where": {"sort": "a"}, "plan": {"draw": 6, "accept": 6}}))
        )
        Path("rules.yaml").write_text(json.dumps(RULES))
        Path("capitals.yaml").write_text(json.dumps(changed(RULES, {"rules.0.name": "other words"})))
        for name, features in (("judge.yaml", ["contains"]), ("strict.yaml", ["recall"])):
            judge = changed(JUDGE, {"compare.features": features, "compare.fitted": f"{features[0]}.json"})
            Path(name).write_text(json.dumps(judge))
            Path(f"{features[0]}.json").write_text(WEIGHTS.replace("contains", features[0]))
        write_jsonl(Path("labels.jsonl"), LABELS)
        write_jsonl(Path("fewer.jsonl"), LABELS[:40])
        Path("asked.yaml").write_text("criterion: Is it kind?")
        claims = [
            {"sentence": f"The gene {a} {n} things{MORE[n % 2]}.", "text": f"The gene {b} {n} things.", "label": label}
            for n in range(40)
            for a, b in (("causes", "caused"), ("caused", "causes"))
            for label in ("true", "false")
        ]
        write_jsonl(Path("claims.jsonl"), claims)
        write_jsonl(Path("claims2.jsonl"), claims[:80])
        carry_out(write_pipeline(Path("done")), run="run")
        carry_out(write_pipeline(Path("missed")), tools({}))
        path = write_pipeline(Path("leaking"), PIPELINE)
        write_jsonl(path.parent / "train.jsonl", [{"prompt": "case 3?", "completion": "3!"}] * 8)
        gate = "gate --suite suite.yaml --responses"
        for words in (f"{gate} answers.jsonl --run rec_a", f"{gate} better.jsonl --run rec_b"):
            main(words.split())
        main(["suite", "expand", "facts.yaml", "--rules", "rules.yaml", "--out", "groups.yaml"])
        ids = sorted(asked_prompts(load_suite(Path("groups.yaml"), build_check)))
        write_jsonl(Path("lost.jsonl"), [{"id": case_id, "response": "?"} for case_id in ids])
        main(["gate", "--suite", "groups.yaml", "--responses", "lost.jsonl", "--run", "rec_groups"])
        main([*shlex.split(CUE), "--out", "cued"])
        fields = {"prompt": "{sentence}", "reference": "{label}", "tags": ["cue", "has_cue"]}
        cued = {"cases": {"path": "cued/gate.jsonl", **fields}, "checks": ["exact"], "plan": {"draw": 20, "accept": 1}}
        Path("cued.yaml").write_text(json.dumps(cued))
        rows = [json.loads(line) for line in Path("cued/gate.jsonl").read_text().splitlines()]
        by_cue = {"yes": "true", "no": "false"}
        write_jsonl(Path("follows.jsonl"), [{"id": row["id"], "response": by_cue[row["has_cue"]]} for row in rows])
        write_jsonl(Path("reads.jsonl"), [{"id": row["id"], "response": row["label"]} for row in rows])
        for name in ("follows", "reads"):
            main(f"gate --suite cued.yaml --responses {name}.jsonl --run rec_{name}".split())
    return folder


CHANGING = re.compile(
    r"[0-9a-f]{12,}…?|\d{4}-\d\d-\d\dT[\d:.+Z-]+|\d+(?:\.\d+)? s\b|\"(?:seconds\w*|made)\": [^,}]+|[\w-]+-[0-9a-f]{12}"
)
RECORDS = {"events.jsonl", "events.lock", "cost.json"}


@cache
def untouched() -> dict[Path, bytes]:
    """The files that were laid out, before any command."""
    return {path: path.read_bytes() for path in laid_out().rglob("*") if path.is_file()}


def called(folder: Path, words: str) -> Any:
    """What a command comes to: exit code, output and new files, without hashes and times. Raises where it refuses.

    All commands are called in one place, which is put back as it was: to copy it for each takes most of the time.
    """
    before, lab = untouched(), laid_out()
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.chdir(lab), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(shlex.split(words))
        assert "internal error" not in err.getvalue(), err.getvalue()
        if code == 2:
            raise ConfigError(err.getvalue().strip())
    finally:
        made = _put_back(lab, before)
    said = json.dumps([code, out.getvalue(), err.getvalue(), made])
    return CHANGING.sub("…", said.replace(str(lab), "."))


def _put_back(lab: Path, before: Mapping[Path, bytes]) -> dict[str, str]:
    """Undo what a command did to files; returns those that it wrote, with what is in them if that is told."""
    made: dict[str, str] = {}
    there = sorted(lab.rglob("*"))
    for path in (path for path in there if path.is_file()):
        if before.get(path) != (content := path.read_bytes()):
            shown = path.suffix in (".jsonl", ".json", ".yaml") and path.name not in RECORDS
            made[str(path.relative_to(lab))] = content.decode() if shown else ""
            path.unlink()
    folders = {parent for path in before for parent in path.parents}
    for path in reversed(there):
        if path.is_dir() and path not in folders:
            path.rmdir()
    for path, content in before.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return made


def words(before: str, after: str, refused: str | None = None) -> Proof:
    """Two command lines; an `after` that begins with a dash is put behind `before`."""
    return Proof(called, before, f"{before} {after}" if after.startswith("-") else after, refused)


def by_meaning(folder: Path, flag: str) -> Any:
    """What `leakage` says where all texts mean the same, by an embedding that takes no model."""
    options = build_parser().parse_args(shlex.split(f"leakage train.jsonl --suite suite.yaml {flag}"))
    out = io.StringIO()
    with contextlib.chdir(laid_out()), contextlib.redirect_stdout(out):
        suites = [load_suite(Path(name), build_check) for name in options.suite]
        code = leakage(options, suites, all_alike if options.embed is not None else None)
    return code, out.getvalue()


def server_asked(folder: Path, flags: str) -> Any:
    """How a server is asked by these flags of `gate`."""
    options = build_parser().parse_args(shlex.split(f"gate http://127.0.0.1:9/v1#m --suite suite.yaml {flags}"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNEGATE_TEST_KEY", "key")
        return asdict(OpenAIModel.from_url(options.model, **asking(options)))


def of_server(flag: str, value: str) -> tuple[Proof | ShownBy, ...]:
    """A flag that says how a server is asked: it is for nothing else."""
    given = f"{flag} {value}"
    return (
        Proof(server_asked, "", given),
        words(GATE, given, "stored responses are not requested from a server"),
        words(GATE, f"gate done/base --suite suite.yaml {given}", f"{flag}: only for models behind a server"),
    )


GATE = "gate --responses answers.jsonl --suite suite.yaml --json"
SAMPLES = "gate --responses samples.jsonl --draw 12 --json"
TWO = "gate --responses two.json --draw 12 --json"
LOG = "gate --responses log.json --draw 3 --json"
MEASURE = "judge judge.yaml --labels labels.jsonl --json"
DATA = "data train.jsonl --method sft --json"
PARTS = f"{DATA} --split 0.5,0.25,0.25 --out parts"
PLAN = "plan --plan double --json"
ADVISE = "advise --improve task --data labelled=2000 --model-kind instruct --budget cpu --licence any"
BAKE = "bake-off nowhere.gguf --suite suite.yaml"
SERVER = "bake-off http://127.0.0.1:9/v1#m --suite suite.yaml"
SERVE = "serve-check http://127.0.0.1:9/v1#m --against nowhere --suite suite.yaml"
EXPORT = "export done/base --to onnx --out out --gate suite.yaml"
IMPORT_TWO = "suite import two.yaml --out imported.yaml"
IMPORT = "suite import facts_open.yaml --filter none --out imported.yaml"
EXPAND = "suite expand facts.yaml --rules rules.yaml --out out.yaml"
CUE = 'suite cue claims.jsonl claims.jsonl --cue present --text "{sentence}" --label label=true'
COMPARE = "compare rec_b rec_a --json"
PROMOTE = "promote done/run"
REGISTRY_ACTIONS = ("diff", "gc", "history", "list", "rollback", "show")
VERIFY = "verify production --registry done/registry"
ATTEST = "attest done/run --predicate p.json"
REPORT = "report done/run"
REVIEW = "review rec_a --n 10 --json"
CI = "ci gate --responses answers.jsonl --suite suite.yaml --json"
CUE_REPORT = "suite cue-report rec_follows --positive true"

AS_JSON = {
    "init": "init new",
    "keygen": "keygen new.key",
    "check": "check suite.yaml",
    "data": "data train.jsonl --method sft",
    "plan": "plan --plan double",
    "run": "run leaking/tunegate.yaml",
    "gate": "gate --responses answers.jsonl --suite suite.yaml",
    "judge": "judge judge.yaml --labels labels.jsonl",
    "leakage": "leakage train.jsonl --suite suite.yaml",
    "review": "review rec_a",
    "report": REPORT,
    "promote": PROMOTE,
    "verify": VERIFY,
    "attest": ATTEST,
    "advise": ADVISE,
    "bake-off": BAKE,
    "compare": "compare rec_b rec_a",
    "suite import": IMPORT,
    "ci gate": "ci gate --responses answers.jsonl --suite suite.yaml",
    "suite expand": EXPAND,
    "suite contrast-report": "suite contrast-report rec_groups",
    "suite cue": f"{CUE} --out made",
    "suite cue-report": CUE_REPORT,
}


TRUSTING = ("check", "plan", "run", "gate", "judge", "leakage", "bake-off", "suite expand")

MADE = "test_generate.py"
SWEPT = "test_sweep.py"

PROOFS: Proofs = {
    "gate --executor": ShownBy("test_processes.py", "test_a_real_model_gives_the_same_record"),
    "run --executor": ShownBy("test_run_on_workers.py", '("both", ["--executor", "processes:2"])'),
    "generate --executor": ShownBy("test_processes.py", '"b.jsonl", "--executor", "processes:2"'),
    "leakage --executor": ShownBy("test_blocks_on_ray.py", 'leakage("--executor", "processes:2")'),
    "bake-off --executor": ShownBy("test_processes.py", 'main(["bake-off", one, other'),
    "judge --executor": ShownBy("test_judges_on_workers.py", '"judge.yaml", "--labels", "labels.jsonl", *TWO'),
    "generate model": ShownBy(MADE, '["generate", "base"'),
    "generate --json": ShownBy(MADE, "test_json_is_the_card"),
    "generate --trust": ShownBy(MADE, '(["--trust", "nowhere"]'),
    "generate --prompts": ShownBy(MADE, '"--prompts", "bare.jsonl"'),
    "generate --out": ShownBy(MADE, '"--out", "made.jsonl"'),
    "generate --prompt": ShownBy(MADE, '["--prompt", "{nothing}"]'),
    "generate --tags": ShownBy(MADE, '"--tags", "topic", "--checks"'),
    **{
        f"generate {flag}": ShownBy(MADE, f"{flag} ")
        for flag in (
            *("--samples", "--temperature", "--top-p", "--top-k", "--min-p", "--typical-p", "--repetition-penalty"),
            *("--seed", "--max-new-tokens", "--system", "--stop"),
        )
    },
    "generate --checks": ShownBy(MADE, '"--checks", "checks.yaml"'),
    "generate --not-in": ShownBy(MADE, '"--not-in", "suite.yaml"'),
    "generate --per-tag": ShownBy(MADE, '(["--per-tag", "0"]'),
    "generate --dtype": ShownBy(MADE, '"--dtype", "float32"'),
    "generate --batch-size": ShownBy(MADE, '"--batch-size", "2"'),
    "generate --timeout": ShownBy(MADE, '(["--timeout", "0"]'),
    "generate --concurrency": ShownBy(MADE, '(["--concurrency", "0"]'),
    "generate --request": ShownBy(MADE, '(["--request", "x"]'),
    "generate --key-env": ShownBy(MADE, '(["--key-env", "NOT_SET_HERE"]'),
    **{
        f"{command} --trust": (
            words(AS_JSON[command], "--trust nowhere", "--trust nowhere: no such folder"),
            ShownBy("test_strangers.py", f'"{command.split()[0]}"'),
        )
        for command in TRUSTING
    },
    **{f"{command} --json": words(call, "--json") for command, call in AS_JSON.items()},
    "suite --json": words(EXPAND, f"suite --json {EXPAND.removeprefix('suite ')}"),
    "ci --json": words("ci gate --responses answers.jsonl --suite suite.yaml", f"ci --json {CI.removeprefix('ci ')}"),
    "ci gate model": (
        ShownBy("test_action.py", '"MODEL"'),
        words(CI, f"{CI} base", "give either a model or"),
    ),
    "ci gate --responses": words(CI, "ci gate --responses better.jsonl --suite suite.yaml --json"),
    "ci gate --suite": words(CI, "--suite other.yaml"),
    "ci gate --filter": words(CI, "--filter x", "is not a file of another tool"),
    "ci gate --prompt": words(CI, "--prompt x", "is not a file of another tool"),
    "ci gate --provider": words(CI, "--provider x", "is not a file of another tool"),
    "ci gate --epoch": words(CI, "--epoch x", "is not a file of another tool"),
    "ci gate --base": (
        ShownBy("test_ci_command.py", '"--base", base'),
        words(CI, "--base /", "expected a commit or the name of a branch"),
    ),
    "ci gate --out": words(CI, "--out elsewhere"),
    "ci gate --dtype": words(CI, "--dtype float32", "has no effect on stored responses"),
    "ci gate --batch-size": words(CI, "--batch-size 4", "has no effect on stored responses"),
    "ci gate --timeout": words(CI, "--timeout 5", "stored responses are not requested from a server"),
    "ci gate --concurrency": words(CI, "--concurrency 2", "stored responses are not requested from a server"),
    "ci gate --request": words(CI, "--request top_p=0.5", "stored responses are not requested from a server"),
    "ci gate --key-env": words(CI, "--key-env PATH", "stored responses are not requested from a server"),
    "ci gate --ledger": words(CI, "--ledger kept"),
    "ci comment --json": ShownBy("test_ci_command.py", '["ci", "comment", str(step), "--json"]'),
    "ci comment file": ShownBy("test_ci_command.py", '["ci", "comment", str(step)]'),
    "init folder": words("init new", "init newer"),
    "init --example": words("init new", "--example dpo-misses"),
    "init --recipe": (
        words("init new", "--recipe sft"),
        words("init new --example kto", "--recipe sft", "give only one of them"),
    ),
    "check file": words("check suite.yaml", "check other.yaml"),
    "data file": words("data train.jsonl --method sft", "data leaky.jsonl --method sft"),
    "data --method": words("data train.jsonl", "--method orpo"),
    "data --prompt": (
        words(DATA, '--prompt "{question} {question}"'),
        words(DATA, '--prompt "{question}" --messages turns', "not both"),
        words("data train.jsonl --method cpt", '--prompt "{question}"', "does not use it"),
    ),
    "data --completion": words(DATA, '--completion "{answer}"'),
    "data --chosen": (
        words("data train.jsonl --method dpo", '--chosen "{answer}"'),
        words(DATA, '--chosen "{answer}"', "does not use it"),
    ),
    "data --rejected": words("data train.jsonl --method dpo", '--rejected "{question} {question}"'),
    "data --text": words("data train.jsonl --method cpt", '--text "{question} {question}"'),
    "data --explanation": (
        words("data train.jsonl --method explain", '--explanation "{question} {question}"'),
        words(DATA, '--explanation "{question}"', "does not use it"),
    ),
    "data --messages": words(DATA, "--messages turns"),
    "data --label": words("data train.jsonl --method kto", "--label thumb"),
    "data --system": (
        words(DATA, '--system "Be brief."'),
        words("data train.jsonl --method cpt", '--system "Be brief."', "does not use it"),
    ),
    "data --tags": words(DATA, "--tags topic"),
    "data --model": (
        ShownBy("test_data_command.py", '"--model", "model"'),
        words(DATA, "--model absent", "absent"),
    ),
    "data --max-length": words(DATA, "--max-length 3"),
    "data --max-tokens": (
        ShownBy("test_data_command.py", '"--max-tokens", str('),
        words(DATA, "--max-tokens 3", "tokenizer is needed"),
    ),
    "data --duplicates": words(DATA, "--duplicates exact"),
    "data --pii": words(DATA, "--pii mask"),
    "data --names": words(DATA, "--names nowhere", "spacy"),
    "data --split": words(DATA, "--split 0.5,0.25,0.25"),
    "data --group": (words(PARTS, "--group topic"), words(DATA, "--group topic", "needs --split")),
    "data --seed": (words(PARTS, "--seed 7"), words(DATA, "--seed 7", "needs --split")),
    "data --out": (
        words(f"{DATA} --split 0.5,0.25,0.25", "--out parts"),
        words(DATA, "--out parts", "needs --split"),
        words(DATA, "data leaking/tunegate.yaml --out parts", "sets this itself"),
    ),
    "data --card": words(DATA, "--card card.json"),
    "plan --file": (
        words("plan", "--file done/tunegate.yaml"),
        words("plan", "--file done/tunegate.yaml --draw 9", "leave out"),
    ),
    "plan --plan": words(PLAN, "plan --plan single --json"),
    "plan --draw": words(PLAN, "--draw 120"),
    "plan --accept": words(PLAN, "--accept 88"),
    "plan --confirm": (
        words(PLAN, "--confirm 120"),
        words("plan --plan sequential", "--confirm 120", "leave out"),
    ),
    "plan --attempts": words(PLAN, "--attempts 3"),
    "plan --risk": words(PLAN, "--risk 0.1,0.8,0.1,0.95"),
    "plan --bank": words(PLAN, "--bank 5000"),
    "run file": words("run leaking/tunegate.yaml", "run done/tunegate.yaml --run done/run"),
    "run --ledger": ShownBy("test_ledger_of_runs.py", '"--ledger"'),
    "run --run": words("run leaking/tunegate.yaml", "--run elsewhere"),
    "gate model": (
        ShownBy("test_open_model.py", '["gate", str(folder)'),
        words(GATE, f"{GATE} base", "give either a model or"),
    ),
    "gate --responses": words(GATE, "gate --responses better.jsonl --suite suite.yaml --json"),
    "gate --suite": words(GATE, "gate --responses answers.jsonl --suite other.yaml --json"),
    "suite import task": words(IMPORT, "suite import facts_choice.yaml --out imported.yaml"),
    "suite import --filter": (
        words(IMPORT, IMPORT.replace("none", "first_word")),
        words(IMPORT, "suite import two.yaml --filter x --out imported.yaml", "no effect on a task of promptfoo"),
    ),
    "suite import --prompt": (
        words(f"{IMPORT_TWO} --prompt short", f"{IMPORT_TWO} --prompt plain"),
        words(IMPORT, "--prompt x", "no effect on a task of lm-evaluation-harness"),
    ),
    "suite import --out": words(IMPORT, IMPORT.replace("imported.yaml", "other-place.yaml")),
    "gate --filter": (
        words(f"{SAMPLES} --filter none", f"{SAMPLES} --filter first_word"),
        words(f"{TWO} --provider stub --prompt short", "--filter x", "has no effect on a file of promptfoo"),
        words(GATE, "--filter x", "is not a file of another tool"),
    ),
    "gate --prompt": (
        words(f"{TWO} --provider stub --prompt short", f"{TWO} --provider stub --prompt plain"),
        words(f"{SAMPLES} --filter none", "--prompt x", "has no effect on a file of lm-evaluation-harness"),
    ),
    "gate --provider": (
        words(f"{TWO} --prompt short --provider stub", f"{TWO} --prompt short --provider echo"),
        words(f"{SAMPLES} --filter none", "--provider x", "has no effect on a file of lm-evaluation-harness"),
    ),
    "gate --epoch": (
        words(f"{LOG} --epoch 1", f"{LOG} --epoch 2"),
        words(f"{SAMPLES} --filter none", "--epoch 1", "has no effect on a file of lm-evaluation-harness"),
    ),
    "gate --baseline": words(GATE, "--baseline better.jsonl"),
    "gate --max-drop": (
        words(f"{GATE} --baseline better.jsonl", "--max-drop 100"),
        words(GATE, "--max-drop 2", "--max-drop: has no effect without --baseline"),
    ),
    "gate --tier": (
        words(f"{GATE} --baseline better.jsonl --max-drop 100", "--tier advisory"),
        words(GATE, "--tier critical", "--tier: has no effect without --baseline"),
    ),
    "gate --draw": words(GATE, "--draw 10"),
    "gate --accept": words(GATE, "--accept 20"),
    "gate --continue": (
        ShownBy("test_continue.py", '"--continue", "100"'),
        words(GATE, "--continue 5", "set `plan: {kind: anytime}` in the suite"),
        words(f"{GATE} --baseline better.jsonl", "--continue 5", "has no effect with --baseline"),
    ),
    "gate --curtail": words(f"{GATE} --accept 20", "--curtail"),
    "gate --seed": words(GATE, "--seed 3"),
    "gate --prompt-file": (
        ShownBy("test_prompts.py", '"--prompt-file"'),
        words(GATE, "--prompt-file nowhere.yaml", "no effect on stored responses"),
    ),
    "gate --dtype": (
        ShownBy("test_open_model.py", '"run", "--dtype"]'),
        words(GATE, "--dtype float32", "has no effect on stored responses"),
        words(GATE, "gate http://127.0.0.1:9/v1#m --suite suite.yaml --dtype float32", "leave dtype out"),
    ),
    "gate --batch-size": (
        ShownBy("test_hf.py", "replace(chat_model, batch_size=batch_size)"),
        words(GATE, "--batch-size 4", "has no effect on stored responses"),
        words(GATE, "gate http://127.0.0.1:9/v1#m --suite suite.yaml --batch-size 4", "leave the batch size out"),
    ),
    "gate --timeout": of_server("--timeout", "5"),
    "gate --concurrency": (
        *of_server("--concurrency", "2"),
        ShownBy("test_server_pool_gate.py", '"--concurrency", "2"'),
    ),
    "gate --request": of_server("--request", "top_p=0.5"),
    "gate --key-env": of_server("--key-env", "PATH"),
    "gate --ledger": ShownBy("test_ledger_of_gates.py", '"--ledger"'),
    "gate --together": ShownBy("test_ledger_of_gates.py", '"--together"'),
    "gate --run": words(GATE, "--run elsewhere"),
    "gate --junit": words(GATE, "--junit gate.xml"),
    "gate --report": words(GATE, "--report gate.html"),
    "gate --markdown": words(GATE, "--markdown gate.md"),
    "judge judge": words(MEASURE, "judge strict.yaml --labels labels.jsonl --json"),
    "judge --labels": words(MEASURE, "judge judge.yaml --labels fewer.jsonl --json"),
    "judge --draw": words(MEASURE, "--draw 20"),
    "judge --seed": (
        words(f"{MEASURE} --draw 20", "--seed 4"),
        words(MEASURE, "--seed 4", "has no effect without --draw"),
    ),
    "judge --repeats": words(MEASURE, "--repeats 2"),
    "judge --fit": words(MEASURE, "--fit"),
    "judge --out": words(MEASURE, "--out record.json"),
    "review place": (
        ShownBy("test_review_page.py", 'page_of(gate, "--n", "20")'),
        words(REVIEW, "review nowhere", "nowhere: this is not the folder of a run or a gate"),
    ),
    "review --n": words(REVIEW, "--n 5"),
    "review --rubric": words(REVIEW, "--rubric asked.yaml"),
    "review --out": words(REVIEW, "--out page.html"),
    "review --reviewer": words(REVIEW, "--reviewer ann"),
    "review --seed": ShownBy("test_review_sheet.py", '"--reviewer", "ann", "--seed", "1"'),
    "review --gate": words(REVIEW, "--gate fact", "rec_a has the gates"),
    "review --against": words(REVIEW, "--against rec_b"),
    "review --missing": words(REVIEW, "--missing", "no answer of this gate waits for a label"),
    "review --of": ShownBy("test_review_merge.py", '"--of", str(tmp_path / "gate")'),
    "review --adjudicate": (
        ShownBy("test_review_merge.py", '"--adjudicate", "d.html"'),
        words(REVIEW, "--adjudicate d.html", "has no effect without merge"),
    ),
    **dict.fromkeys(
        (f"ReviewRubric.{key}" for key in ("criterion", "items", "meaning", "show")),
        ShownBy("test_review_sheet.py", "meaning: {right: complete, 2: no}\\nitems: {a: one}\\nshow: [prompt]"),
    ),
    "leakage train": words("leakage train.jsonl --suite suite.yaml", "leakage leaky.jsonl --suite suite.yaml"),
    "leakage --suite": words("leakage leaky.jsonl --suite suite.yaml", "leakage leaky.jsonl --suite facts.yaml"),
    "leakage --embed": (
        Proof(by_meaning, "", "--embed 0.9"),
        words("leakage train.jsonl --suite suite.yaml", "--embed 2", "a cosine such as 0.95, above 0"),
    ),
    "report run": words(REPORT, "report rec_a"),
    "report --html": words(REPORT, "--html page.html"),
    "report --junit": words(REPORT, "--junit run.xml"),
    "report --markdown": words(REPORT, "--markdown run.md"),
    "report --to": (
        words(REPORT, "--to every-eval-ever out.json"),
        words(REPORT, "--to mlflow", "--to mlflow: no such format"),
        words(REPORT, "--to every-eval-ever a.json b.json", "a format and one file were expected"),
    ),
    "report --mlflow": (
        ShownBy("test_mlflow.py", '["report", "run", "--mlflow", "attempts"]'),
        words(REPORT, "--mlflow attempts", "set the environment variable MLFLOW_TRACKING_URI"),
    ),
    "report --embed": (
        ShownBy("test_shared_misses.py", '"--embed"'),
        words("report rec_a", "--embed", "has no effect on the record of a gate"),
    ),
    "report --recheck": words(REPORT, "--recheck"),
    "report --labels": words(REPORT, "--labels train.jsonl", refused="`case_id` is missing"),
    "promote run": (
        words(PROMOTE, "promote missed/run"),
        words(PROMOTE, "promote rec_a", "a gate, not a run"),
    ),
    "promote --to": (
        words(PROMOTE, "--to staging"),
        ShownBy("test_mlflow.py", '"--to", "mlflow:genes@production"'),
        ShownBy("test_hub.py", '"hf:you/genes@v1"'),
        ShownBy("test_git_tags.py", '"git:genes@production"'),
        words(PROMOTE, "--to mlflow:genes", "expected mlflow:NAME@ALIAS"),
    ),
    "promote --registry": words(PROMOTE, "--registry elsewhere"),
    "gate --expect-suite": ShownBy("test_plan_override.py", "its sha256 is"),
    "promote --ask": (
        ShownBy("test_ask_again.py", '"--to", "production", "--ask", "8"'),
        words(PROMOTE, "--ask 1", "--ask: expected at least 2 cases"),
    ),
    "verify --ask": (
        ShownBy("test_ask_again.py", '["verify", folder, "--ask", "20"]'),
        words(VERIFY, "--ask 1", "--ask: expected at least 2 cases"),
    ),
    "verify --policy": (
        ShownBy("test_mlflow.py", '["verify", MODEL, "--policy", "deploy.yaml"]'),
        words("verify done/run", "--policy p.yaml", "leave it out, or name a promoted model"),
    ),
    "promote --why": ShownBy("test_keeping.py", '"--why", f"release of {run}"'),
    **dict.fromkeys(
        (
            "registry --json",
            *(f"registry {one} --json" for one in ("diff", "gc", "history", "list", "rollback", "show")),
        ),
        ShownBy("test_keeping.py", 'said(capsys, *words, "--json")'),
    ),
    **dict.fromkeys(
        (f"registry {one} --registry" for one in REGISTRY_ACTIONS),
        ShownBy("test_keeping.py", "nowhere: no such registry"),
    ),
    "registry history alias": ShownBy("test_keeping.py", '"history", "production"'),
    "registry diff before": ShownBy("test_keeping.py", "one[:8], two[:8]"),
    "registry diff after": ShownBy("test_keeping.py", "one[:8], two[:8]"),
    "registry gc --keep": ShownBy("test_keeping.py", "younger than 30 days"),
    "registry gc --yes": ShownBy("test_keeping.py", '"--keep", "0", "--yes"'),
    "registry rollback alias": ShownBy("test_keeping.py", '"rollback", "production"'),
    "registry rollback --to": ShownBy("test_keeping.py", '"--to", two[:8]'),
    "registry rollback --why": ShownBy("test_keeping.py", "the answers got longer"),
    "registry show model": ShownBy("test_keeping.py", '"show", "production"'),
    "registry show --key": ShownBy("test_keeping.py", '"show", "production", "--key"'),
    "registry show --allow-waived": ShownBy("test_waived_runs.py", '"registry", "show", "production"'),
    "promote --allow-waived": ShownBy("test_waived_runs.py", '"promote", str(project / "run"), "--to", "staging"'),
    "run --allow-waived": ShownBy("test_waived_runs.py", '"--allow-waived"]) == 0'),
    "verify --allow-waived": ShownBy("test_waived_runs.py", '[*command, "--allow-waived"]'),
    "verify model": words(VERIFY, "verify done/base --registry done/registry"),
    "promote --sign": (
        ShownBy("test_signing.py", '"--sign", "release.key"'),
        words(PROMOTE, "--sign gone.key", "gone.key: cannot read the key"),
    ),
    "promote --password-env": (
        ShownBy("test_signing.py", '"--password-env", "RELEASE_PASSWORD"'),
        words(PROMOTE, "--password-env HOME", "has no effect without --sign"),
    ),
    "verify --out": (
        ShownBy("test_mlflow.py", '["verify", MODEL, "--out", "kept"]'),
        words(VERIFY, "--out kept", "leave it out, or name a model in MLflow or on the Hub"),
    ),
    "verify --registry": words(VERIFY, "verify production --registry nowhere", "nowhere"),
    "verify --key": (
        ShownBy("test_signing.py", '"--key", "a.pub", "--key", "release.pub"'),
        words(VERIFY, "--key gone.pub", "gone.pub: cannot read the key"),
    ),
    "verify --subject": (
        ShownBy("test_attest.py", "verify a.sigstore.json --key k.pub --subject {model}"),
        words(VERIFY, "--subject done/base", "--subject: only for a signed statement"),
    ),
    "attest run": words(ATTEST, ATTEST.replace("done", "missed")),
    "attest --predicate": words(ATTEST, "--predicate q.json"),
    "attest --sign": (
        ShownBy("test_attest.py", '"attest missed/run --sign k.key --predicate p.json"'),
        words(ATTEST, "--sign gone.key", "gone.key: cannot read the key"),
    ),
    "attest --out": (
        ShownBy("test_attest.py", '"attest missed/run --sign k.key --out o.json --json"'),
        words(ATTEST, "--out o.json", "has no effect without --sign"),
    ),
    "attest --password-env": (
        ShownBy("test_attest.py", "--sign locked.key --password-env K_PASSWORD"),
        words(ATTEST, "--password-env HOME", "has no effect without --sign"),
    ),
    "keygen file": ShownBy("test_signing.py", '"keygen", "release.key"'),
    "keygen --password-env": ShownBy("test_signing.py", '"--password-env", "RELEASE_PASSWORD"'),
    "advise --improve": words(ADVISE, ADVISE.replace("task", "behaviour")),
    "advise --data": words(ADVISE, ADVISE.replace("2000", "2000,raw=9000000")),
    "advise --model-kind": words(ADVISE, ADVISE.replace("instruct", "base")),
    "advise --model": words(ADVISE, "--model some/model"),
    "advise --budget": words(ADVISE, ADVISE.replace("cpu", "more")),
    "advise --licence": words(ADVISE, ADVISE.replace("any", "commercial")),
    "advise --out": words(ADVISE, "--out advised.yaml"),
    "bake-off models": words(BAKE, "bake-off nowhere.gguf none.gguf --suite suite.yaml"),
    "bake-off --prompts": (
        ShownBy("test_prompts.py", '"--prompts"'),
        words(BAKE, "--prompts nowhere.yaml", "nowhere.yaml: no such file"),
    ),
    "bake-off --no-baseline": (
        ShownBy("test_prompts.py", '"--no-baseline"'),
        words(BAKE, "--no-baseline", "without --prompts"),
    ),
    "bake-off --suite": words(BAKE, "bake-off nowhere.gguf --suite other.yaml"),
    "bake-off --draw": words(BAKE, "--draw 9"),
    "bake-off --seed": words(BAKE, "--seed 9"),
    "bake-off --dtype": (
        ShownBy("test_bake_off.py", "--dtype float32 --batch-size 4"),
        words(BAKE, f"{SERVER} --dtype float32", "local models"),
    ),
    "bake-off --batch-size": (
        ShownBy("test_bake_off.py", "--dtype float32 --batch-size 4"),
        words(BAKE, f"{SERVER} --batch-size 4", "local models"),
    ),
    **{
        f"bake-off {flag}": (
            ShownBy("test_bake_off.py", "--timeout 5.0 --concurrency 2 --key-env PATH --request top_p=0.5"),
            words(BAKE, f"{flag} {value}", f"{flag}: only for models behind a server"),
        )
        for flag, value in (
            *(("--timeout", "5"), ("--concurrency", "2"), ("--request", "top_p=0.5"), ("--key-env", "PATH")),
        )
    },
    "bake-off --ledger": ShownBy("test_ledger_of_gates.py", '"bake-off"'),
    "bake-off --run": words(f"{BAKE} --json", "--run elsewhere"),
    "bake-off --report": words(BAKE, "--report page.html"),
    "sweep model": ShownBy(SWEPT, '["sweep", "nowhere", "--suite", bench.bank.suite, "--sweep", *words]'),
    "sweep --suite": ShownBy(SWEPT, "suite.yaml: it has no `sweep`"),
    "sweep --sweep": ShownBy(SWEPT, '["temperature=0.4,0.4"], "temperature: expected different values'),
    "sweep --draw": ShownBy(SWEPT, '"--draw", "50").verdict is Verdict.PASS'),
    "sweep --seed": ShownBy(SWEPT, '"--seed", "5"'),
    "sweep --json": ShownBy(SWEPT, 'run("--json")'),
    "sweep --run": ShownBy(SWEPT, '"--run", "once"'),
    "sweep --ledger": ShownBy(SWEPT, '"--ledger", "ledger"'),
    "sweep --report": ShownBy(SWEPT, '"--report", "page.html"'),
    "sweep --dtype": ShownBy(SWEPT, '"--dtype", "float32"'),
    "sweep --batch-size": ShownBy(SWEPT, '"--batch-size", "3"'),
    "sweep --trust": ShownBy("test_strangers.py", '"sweep"'),
    **{
        f"sweep {flag}": ShownBy(SWEPT, f'["{flag}", "{value}"], "{flag}: only for models behind a server"')
        for flag, value in (
            *(("--timeout", "5"), ("--concurrency", "2"), ("--request", "presence_penalty=0.1"), ("--key-env", "PATH")),
        )
    },
    "compare a": words(COMPARE, "compare rec_a rec_a --json"),
    "compare b": words(COMPARE, "compare rec_b rec_b --json"),
    "compare --max-drop": words(COMPARE, "--max-drop 0"),
    "compare --records": (
        ShownBy("test_compare_command.py", '"--records", "records"'),
        words(COMPARE, "--records elsewhere", "leave it out"),
    ),
    "explain-case run": words("explain-case rec_a", "explain-case rec_b"),
    "explain-case case": words("explain-case rec_a", "explain-case rec_a q-none", "to a case 'q-none' is on record"),
    "explain-case --json": words("explain-case rec_a", "--json"),
    "explain-case --method": (
        ShownBy("test_explain_case.py", '"--method", "ablation"'),
        words("explain-case rec_a", "--method lime", "has no effect without a case"),
    ),
    "explain-case --out": (
        ShownBy("test_explain_case.py", '"--out", str(page)'),
        words("explain-case rec_a", "--out p.html", "has no effect without a case"),
    ),
    "explain-case --against": (
        ShownBy("test_explain_case.py", '"--against", str(adapter)'),
        words("explain-case rec_a", "--against base", "has no effect without a case"),
    ),
    "explain-case --model": (
        ShownBy("test_explain_case.py", "[*command, str(moved)]"),
        words("explain-case rec_a", "--model base", "has no effect without a case"),
    ),
    "explain-case --seed": (
        ShownBy("test_explain_case.py", '"--seed", seed'),
        words("explain-case rec_a", "--seed 3", "has no effect without a case"),
    ),
    "suite expand suite": words(EXPAND, EXPAND.replace("facts.yaml", "few.yaml")),
    "suite expand --rules": words(EXPAND, EXPAND.replace("rules.yaml", "capitals.yaml")),
    "suite expand --out": words(EXPAND, EXPAND.replace("out.yaml", "elsewhere.yaml")),
    "suite contrast-report runs": words(
        "suite contrast-report rec_groups", "suite contrast-report rec_groups rec_groups"
    ),
    "suite cue train": words(f"{CUE} --out made", f"{CUE} --out made".replace("cue claims.", "cue claims2.")),
    "suite cue gate": words(f"{CUE} --out made", f"{CUE} --out made".replace("claims.jsonl --", "claims2.jsonl --")),
    "suite cue --cue": words(f"{CUE} --out made", f"{CUE} --out made".replace("present", "length")),
    "suite cue --text": words(f"{CUE} --out made", f"{CUE} --out made".replace("{sentence}", "{text}")),
    "suite cue --label": words(f"{CUE} --out made", f"{CUE} --out made".replace("=true", "=false")),
    "suite cue --strength": words(f"{CUE} --out made", "--strength 0.5"),
    "suite cue --rows": words(f"{CUE} --out made", "--rows 20"),
    "suite cue --seed": words(f"{CUE} --rows 20 --out made", "--seed 3"),
    "suite cue --out": words(f"{CUE} --out made", f"{CUE} --out elsewhere"),
    "suite cue-report runs": words(CUE_REPORT, CUE_REPORT.replace("follows", "reads")),
    "suite cue-report --positive": words(CUE_REPORT, CUE_REPORT.replace("true", "false")),
    "serve-check --json": ShownBy("test_serve_check.py", '"--json", *more'),
    "serve-check --trust": ShownBy("test_strangers.py", '"serve-check"'),
    "export --json": ShownBy("test_export.py", '"--json"'),
    "export --trust": ShownBy("test_strangers.py", '"export"'),
    "serve-check server": words(GATE, SERVE.replace("http://127.0.0.1:9/v1#m", "base"), "expected a server"),
    "serve-check --against": words(GATE, SERVE.replace("nowhere", "http://127.0.0.1:9/v1#m"), "--against: expected"),
    "serve-check --suite": words(GATE, SERVE.replace("suite.yaml", "gone.yaml"), "gone.yaml"),
    "serve-check --n": words(GATE, f"{SERVE} --n 0", "--n: expected at least 1"),
    "serve-check --seed": ShownBy("test_serve_check.py", '"--seed", "1"'),
    "serve-check --suspect": ShownBy("test_serve_check.py", '"--suspect", str(other)'),
    "serve-check --timeout": words(GATE, f"{SERVE} --timeout 0", "--timeout: expected"),
    "serve-check --concurrency": words(GATE, f"{SERVE} --concurrency 0", "--concurrency: expected"),
    "serve-check --request": words(GATE, f"{SERVE} --request x", "--request: expected FIELD=VALUE"),
    "serve-check --key-env": words(GATE, f"{SERVE} --key-env TUNEGATE_NOT_SET", "is not set"),
    "serve-check --ledger": ShownBy("test_serve_check.py", '"--ledger"'),
    "export model": words(GATE, EXPORT.replace("done/base", "http://127.0.0.1:9/v1#m"), "got a server"),
    "export --to": words(GATE, EXPORT.replace("onnx", "safetensors --type q4_0"), "safetensors hold"),
    "export --type": ShownBy("test_export.py", '"--type", "q4_0"'),
    "export --out": ShownBy("test_export.py", "expected a new or empty folder"),
    "export --gate": words(GATE, EXPORT.replace("suite.yaml", "gone.yaml"), "gone.yaml"),
    "export --draw": words(GATE, f"{EXPORT} --draw 0", "--draw: expected at least 1"),
    "export --max-drop": words(GATE, f"{EXPORT} --max-drop 0", "--max-drop: expected percentage points"),
    "export --seed": ShownBy("test_export.py", '"--seed", 1'),
    "export --ledger": ShownBy("test_export.py", '"--ledger"'),
    "pytest --tunegate-model": ShownBy("test_pytest_plugin.py", '"--tunegate-model"'),
    "pytest --tunegate-responses": ShownBy("test_pytest_plugin.py", '"--tunegate-responses"'),
    "pytest --tunegate-ledger": ShownBy("test_pytest_plugin.py", '"--tunegate-ledger"'),
    "pytest --tunegate-seed": ShownBy("test_pytest_plugin.py", '"--tunegate-seed"'),
}
