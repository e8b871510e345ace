"""Proofs for the keys of a pipeline file, its data, its methods and its waivers: what is trained, asked or promoted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, attempt_of, tools, trainer, write_pipeline
from tests.support.option_proofs import Changes, Proof, Proofs, ShownBy, changed, told
from tests.support.waiver_date import EXPIRES
from tunegate.data.prepare import PrepareTools, load_prepared
from tunegate.data.spec import DataSpec
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import YamlFile
from tunegate.record.event_log import read_events
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_suites import build_check
from tunegate_trainers import validate

TODAY = date.today()
ROWS = [
    {
        "prompt": f"train {n}?", "completion": f"{n}!", "explanation": f"since {n}", "level": n % 4,
        "topic": "ab"[n % 2], "question": f"asked {n}?", "answer": f"said {n}",
        "turns": [{"role": "user", "content": f"a chat about {n}?"}],
        "chosen": f"{n}!", "rejected": "?", "text": f"document {n}", "label": n % 2 == 0, "thumb": n % 4 == 0,
    }
    for n in range(8)
]  # fmt: skip
WAIVER = {"gate": "style", "owner": "ada@example.org", "expires": EXPIRES,
          "reason": "the style bank mislabels carriers upstream, see the tracker"}  # fmt: skip
BASE = changed(yaml.safe_load(PIPELINE), {"stages.0.retrain.max_attempts": 2})
SKILLS = {"sft#1": 0.0, "sft#2": 1.0, "align#1": 1.0}
FORGETFUL = {"sft#1": 1.0, "sft#2": 1.0, "align#1": 0.8, "align#2": 0.8, "align#3": 0.8}
TOLD = ("args", "command", "curriculum", "launcher", "method", "options", "peft", "save", "seed", "train", "watch")


def carried_out(folder: Path, value: Any) -> Any:
    """What a run trains on, with which job; what its gates find; where its model goes."""
    spec, skills, bank = value
    path = write_pipeline(folder, json.dumps(spec), bank=bank)
    for name in ("train.jsonl", "pairs.jsonl"):
        write_jsonl(folder / name, ROWS)
    write_jsonl(folder / "general.jsonl", [{"prompt": f"general {n}?", "completion": "of course"} for n in range(9)])
    write_jsonl(
        folder / "leaky.jsonl", [*ROWS, {"prompt": "case 3?", "completion": "3!", "chosen": "a", "rejected": "b"}]
    )
    write_jsonl(folder / "torn.jsonl", [*ROWS, {"prompt": "train 1?", "completion": "another"}])
    (folder / "other").mkdir()
    (folder / "own.yaml").write_text("model: {model}\n")
    (folder / "launch.yaml").write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\n")
    for name, waiver in (("waivers.yaml", {}), ("later.yaml", {"stage": "align"}), ("facts.yaml", {"gate": "facts"})):
        (folder / name).write_text(json.dumps({"waivers": [{**WAIVER, **waiver}]}))
    loaded = load_pipeline(path, build_check, validate, today=TODAY)
    jobs, train = list[Any](), trainer(skills)

    def spying(job: TrainJob) -> TrainResult:
        jobs.append([attempt_of(job), {k: asdict(job)[k] for k in TOLD}, list(job.suites), Path(job.data).read_text()])
        return train(job)

    given = replace(tools(skills), train=spying, today=lambda: TODAY, embed=all_alike)
    with RunLog.open(folder / "run") as log:
        run = PipelineRun(replace(loaded, model=str(folder / "base")), log, given).execute()
    gates = [
        [gate.key, gate.stage, gate.attempt, gate.case_ids, gate.verdict, gate.reason, gate.drawn, gate.reused]
        for attempts in [[run], *[stage.attempts.values() for stage in run.stages.values()]]
        for attempt in attempts
        for gate in attempt.gates.values()
    ]
    kept = ("event", "settings", "action", "alias", "registry", "name", "stage", "waivers", "waiver", "error", "leaks")
    events = [{k: event[k] for k in kept if k in event} for event in read_events(folder / "run")]
    return told(folder, [loaded.model, sorted(loaded.suites), jobs, gates, events, run.verdict, run.reason])


def all_alike(texts: Sequence[str]) -> Mapping[str, Any]:
    import numpy as np

    return {text: np.array([1.0, 0.0]) for text in texts}


def run(
    changes: Changes, base: Changes | None = None, refused: str | None = None, skills: Any = SKILLS, bank: int = 100
) -> Proof:
    common = changed(BASE, base or {})
    return Proof(carried_out, (common, skills, bank), (changed(common, changes), skills, bank), refused)


WATCH = {"stages.0.watch": {"gate": "facts", "every_steps": 1, "draw": 3}}
GENERAL = {
    "suites.general": {**BASE["suites"]["facts"], "retention": {"max_drop": 5.0}},
    "stages.1.gates": ["facts", "general"],
}
RISKY = {**GENERAL, "suites.general.retention": {"max_drop": 30.0}, "suites.general.sealed": 0.0}
SOLVED = {**RISKY, "suites.general.retention": {"max_drop": 30.0, "risk": {"differ": 0.3}}}
WAIVED = {"stages.1.gates": ["facts", "style"], "suites.style.checks": [{"regex": "no"}], "stages.0.gates": ["facts"]}
OWN = {
    "stages.1.data": {"path": "train.jsonl", "own_answers": {"judged_by": "facts", "at_least": 1}},
    "suites.style.checks": ["exact", {"regex": "[02468]!"}],
}
POLICY = {"stages.1.method": "rlhf", "stages.1.data": "train.jsonl",
          "stages.1.options": {"algorithm": "ppo", "reward": {"suite": "facts"}}}  # fmt: skip
EXPLAIN = {"stages.0.method": "explain", "stages.0.options": {"form": "system"}}
OWN_TRAINER = {"stages.0.method": "command", "stages.0.command": "python train.py {rows}"}
LAYERS = {"stages.0.train": {"last_n_layers": 2}}
SEARCHES = {"stages.0.retrain.epochs": [1.0, 2.0, 3.0], "stages.0.retrain.learning_rate": [1e-3, 1e-4]}
ONE_DRAW = {"suites.facts.plan.confirm": "never", "suites.facts.sealed": 0.0, "stages.0.gates": ["facts"]}
NOISY = {**ONE_DRAW, "suites.facts.plan": {"draw": 15, "accept": 15, "confirm": "never"}}
ALONE = {
    **{key: value for key, value in ONE_DRAW.items() if not key.startswith("stages")},
    "stages": [{**BASE["stages"][0], "gates": ["facts"]}],
}
FOREIGN = {"suites.facts.checks": ["exact", {"imported": "acc"}], "promote.imported": True}
UNWAIVED = {**SKILLS, "sft#1": 1.0, "sft#2": 1.0}


# --- data -----------------------------------------------------------------------------------------------------------


def rendered(folder: Path, value: Any) -> Any:
    """The rows that a stage trains on, and those that it leaves out or keeps apart."""
    method, spec = value
    write_jsonl(folder / "train.jsonl", ROWS)
    write_jsonl(folder / "other.jsonl", ROWS[:5])
    (folder / "train.csv").write_text("prompt,completion\nWhich?,BLM\n")
    same = {**ROWS[0], "level": 0}
    write_jsonl(
        folder / "twice.jsonl", [*ROWS, same, {**ROWS[1], "completion": "write to ada.lovelace@gmail.com, please"}]
    )
    read = read_spec(DataSpec, YamlFile(folder / "data.yaml", spec, {}))
    count = PrepareTools(lambda examples, _: [len(str(example.wanted)) for example in examples])
    data = load_prepared(read, method, folder, count)
    held = {part: [example.number for example in examples] for part, examples in data.held_out.items()}
    return [[e.number, e.to_json(), e.tags, e.group] for e in data.examples], data.left_out, held


def data(changes: Changes, method: str = "sft", base: Changes | None = None, refused: str | None = None) -> Proof:
    common = changed({"path": "train.jsonl"}, base or {})
    return Proof(rendered, (method, common), (method, changed(common, changes)), refused)


SPLIT = {"prepare": {"split": {"train": 0.5, "validation": 0.25, "test": 0.25}}}
SHARES = {"prepare.split": {"train": 0.75, "validation": 0.0, "test": 0.25}}
TWICE = {"path": "twice.jsonl"}

PROOFS: Proofs = {
    "PipelineSpec.name": run({"name": "other"}),
    "PipelineSpec.model": run({"model": "other"}),
    "PipelineSpec.seed": run({"seed": 2}),
    "PipelineSpec.suites": run({"suites.facts.plan.draw": 6}),
    "PipelineSpec.stages": run({"stages": BASE["stages"][:1]}),
    "PipelineSpec.leakage": run({"leakage": "drop_from_train"}, {"stages.0.data": "leaky.jsonl"}),
    "PipelineSpec.retention": ShownBy("test_retention.py", "retention: {max_drop"),
    "PipelineSpec.ledger": ShownBy("test_ledger_of_runs.py", "ledger: shared"),
    "PipelineSpec.inspect": run({"inspect": {"cases": 2}}),
    "ExecutorSpec.processes": ShownBy("test_processes.py", '"--executor", "processes:2"'),
    "ExecutorSpec.ray": ShownBy("test_ray_nodes.py", 'f"ray:{nodes.cluster.address}"'),
    "ExecutorSpec.timeout_s": ShownBy("test_processes.py", "Processes(2, timeout_s=50.0)"),
    "RaySpec.address": ShownBy("test_ray_nodes.py", "nothing answers at 127.0.0.1:1"),
    "RaySpec.cpus_per_model": ShownBy("test_ray_nodes.py", '{"cpus_per_model": 64.0}, "no node can give 64 cores'),
    "RaySpec.gpus_per_model": ShownBy("test_ray_nodes.py", '{"gpus_per_model": 1.0}, "no node can give 1 GPU'),
    "PipelineSpec.executor": ShownBy("test_run_on_workers.py", '"executor: processes:2'),
    "InspectSpec.cases": ShownBy("test_inspection.py", "assert len(recorded.cases) == 2"),
    "InspectSpec.methods": ShownBy("test_inspection.py", "methods: [lime, logit_lens]"),
    "PipelineSpec.waivers": run({"waivers": "waivers.yaml"}, WAIVED, skills=UNWAIVED),
    "PipelineSpec.promote": run({"promote": None}),
    "PromoteSpec.to": run({"promote.to": "staging"}),
    "PromoteSpec.registry": run({"promote.registry": "elsewhere"}),
    "PromoteSpec.imported": run({"promote.imported": False}, FOREIGN, "takes over the scores of another tool"),
    "LeakageSpec.action": run({"leakage": {"action": "drop_from_train"}}, {"stages.0.data": "leaky.jsonl"}),
    "LeakageSpec.embed": run({"leakage": {"embed": 0.9}}),
    "RetentionSpec.max_drop": run({"suites.general.retention.max_drop": 100.0}, GENERAL, skills=FORGETFUL, bank=300),
    "RetentionSpec.risk": run({"suites.general.retention.risk": {"differ": 0.4}}, RISKY, skills=UNWAIVED, bank=600),
    "RetentionSpec.reuse": run({"suites.general.retention.reuse": True}, GENERAL, skills=UNWAIVED, bank=120),
    "RetentionRiskSpec.consumer": run(
        {"suites.general.retention.risk.consumer": 0.2}, SOLVED, skills=UNWAIVED, bank=300
    ),
    "RetentionRiskSpec.producer": run(
        {"suites.general.retention.risk.producer": 0.2}, SOLVED, skills=UNWAIVED, bank=300
    ),
    "RetentionRiskSpec.differ": (
        run({"suites.general.retention.risk.differ": 0.4}, SOLVED, skills=UNWAIVED, bank=600),
        run(
            {"suites.general.retention.risk.differ": 0.1},
            SOLVED,
            bank=600,
            refused="`risk.differ` at least `max_drop` / 100",
        ),
    ),
    "SuiteSpec.retention": run({"suites.general.retention": None}, GENERAL, skills=FORGETFUL, bank=300),
    "PlanSpec.reuse": run({"suites.facts.plan.reuse": True}, ALONE, bank=6),
    "StageSpec.name": run({"stages.0.name": "first"}, skills={**SKILLS, "first#2": 1.0}),
    "StageSpec.method": run({"stages.0.method": "orpo"}),
    "StageSpec.command": (
        run({"stages.0.command": ["python", "train.py", "{rows}", "{model}"]}, OWN_TRAINER),
        run({"stages.0.command": "python train.py"}, refused="trains by itself"),
    ),
    "StageSpec.options": run({"stages.0.options": {"form": "completion"}}, EXPLAIN),
    "StageSpec.data": run({"stages.0.data": "leaky.jsonl"}),
    "StageSpec.gates": run({"stages.0.gates": ["facts"]}),
    "StageSpec.peft": run({"stages.0.peft": {"r": 4}}),
    "StageSpec.args": (
        run({"stages.0.args": {"learning_rate": 0.5}}),
        run({"stages.0.args": {"learning_rat": 0.5}}, refused="learning_rate"),
        run({"stages.0.args": {"num_train_epochs": 3}}, SEARCHES, refused="also set by"),
    ),
    "StageSpec.train": (
        run({"stages.0.train": {"last_n_layers": 2}}),
        run({"stages.0.train": "full"}, {"stages.0.peft": {"r": 4}}, refused="train"),
    ),
    "StageSpec.launcher": run({"stages.0.launcher": {"num_processes": 2}}),
    "StageSpec.curriculum": (
        run({"stages.0.curriculum": {"by": "{level}"}}),
        run({"stages.1.curriculum": {"by": "loss"}}, POLICY, refused="no order of rows"),
    ),
    "StageSpec.watch": run(WATCH),
    "StageSpec.save": (
        run({"stages.0.save": "adapter"}, {"stages.0.peft": {"r": 4}}),
        run({"stages.0.save": "adapter"}, refused="peft"),
    ),
    "StageSpec.retrain": run({"stages.0.retrain": {"max_attempts": 1}}),
    "LastLayersSpec.last_n_layers": run({"stages.0.train.last_n_layers": 3}, LAYERS),
    "LastLayersSpec.unfreeze_every": run({"stages.0.train.unfreeze_every": 5}, LAYERS),
    "LauncherSpec.num_processes": run(
        {"stages.0.launcher": {"num_processes": 3}}, {"stages.0.launcher": {"num_processes": 2}}
    ),
    "LauncherSpec.config_file": run({"stages.0.launcher": {"config_file": "launch.yaml"}}),
    "CurriculumSpec.by": run({"stages.0.curriculum": {"by": "loss"}}, {"stages.0.curriculum": {"by": "{level}"}}),
    "CurriculumSpec.order": run({"stages.0.curriculum.order": "falling"}, {"stages.0.curriculum": {"by": "{level}"}}),
    "WatchSpec.gate": run({"stages.0.watch.gate": "style"}, WATCH),
    "WatchSpec.every_steps": run({"stages.0.watch.every_steps": 2}, WATCH),
    "WatchSpec.every_epochs": (
        run({"stages.0.watch": {"gate": "facts", "every_epochs": 0.5, "draw": 3}}, WATCH),
        run({"stages.0.watch.every_epochs": 0.5}, WATCH, refused="give either every_steps"),
    ),
    "WatchSpec.draw": run({"stages.0.watch.draw": 4}, WATCH),
    "WatchSpec.stop_after": run({"stages.0.watch.stop_after": 2}, WATCH),
    "WatchSpec.keep_best": run({"stages.0.watch.keep_best": False}, WATCH),
    "RetrainSpec.max_attempts": (
        run({"stages.0.retrain.max_attempts": 1}),
        run(
            {"stages.0.retrain.max_attempts": 4},
            {"stages.0.method": "fewshot", "stages.0.retrain": {}},
            "is not retrained",
        ),
    ),
    "RetrainSpec.rows": run({"stages.0.retrain.rows": [3, 5]}),
    "RetrainSpec.epochs": run({"stages.0.retrain.epochs": [1.0, 2.0]}),
    "RetrainSpec.learning_rate": run({"stages.0.retrain.learning_rate": [1e-3, 1e-4]}),
    "RetrainSpec.max_length": run({"stages.0.retrain.max_length": [64, 128]}),
    "RetrainSpec.repair": run({"stages.0.retrain.repair": [0.0, 0.5]}),
    "RetrainSpec.replay": (
        run({"stages.0.retrain.replay": [0.5], "stages.0.retrain.replay_data": "general.jsonl"}),
        run({"stages.0.retrain.replay": [0.5]}, refused="replay_data"),
    ),
    "RetrainSpec.replay_data": (
        run(
            {"stages.0.retrain.replay_data": "torn.jsonl"},
            {"stages.0.retrain.replay": [0.5], "stages.0.retrain.replay_data": "general.jsonl"},
        ),
        run({"stages.0.retrain.replay_data": "general.jsonl"}, refused="without `replay`"),
        run(
            {"stages.0.retrain.replay_data": {"path": "general.jsonl", "text": "{prompt}"}},
            {"stages.0.retrain.replay": [0.5], "stages.0.retrain.replay_data": "general.jsonl"},
            refused="cpt does",
        ),
    ),
    "RetrainSpec.conflicts": run(
        {"stages.0.retrain.conflicts": ["drop"]}, {"stages.0.data": "torn.jsonl", "stages.0.retrain.rows": None}
    ),
    "RetrainSpec.auto": (
        run({"stages.0.retrain.auto": True}, {"stages.0.retrain": {"max_attempts": 2, "rows": [2]}}),
        run(
            {"stages.0.retrain.auto": True},
            {"stages.0.method": "fewshot", "stages.0.retrain": {}},
            "is not retrained",
        ),
    ),
    "RetrainSpec.on_noise": run({"stages.0.retrain.on_noise": "redraw"}, NOISY, skills={**SKILLS, "sft#1": 0.9}),
    "RetrainSpec.search": (
        run({"stages.0.retrain.search": "optuna"}, SEARCHES),
        run({"stages.0.retrain.search": "optuna", "stages.0.retrain.rows": [8]}, refused="nothing to choose"),
    ),
    "DataSpec.own_answers": run(
        {"stages.1.data": {"path": "train.jsonl", "own_answers": {"judged_by": "facts", "at_least": 1}}}
    ),
    "OwnAnswersSpec.judged_by": run(
        {"stages.1.data.own_answers.judged_by": "style"}, {**OWN, "stages.0.gates": ["facts"]}
    ),
    **{
        f"OwnAnswersSpec.{name}": ShownBy("test_own_answers.py", "test_own_settings_replace_those_of_the_suite")
        for name in ("temperature", "seed", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty")
    },
    "OwnAnswersSpec.samples": ShownBy("test_own_answers.py", "at_least: 2, samples: 3, temperature: 0.7"),
    "OwnAnswersSpec.at_least": run({"stages.1.data.own_answers.at_least": 5}, {**OWN, "stages.0.gates": ["facts"]}),
    "WaiversSpec.waivers": run({"waivers": "waivers.yaml"}, WAIVED, skills=UNWAIVED),
    "WaiverSpec.gate": run({"waivers": "facts.yaml"}, {**WAIVED, "waivers": "waivers.yaml"}, skills=UNWAIVED),
    "WaiverSpec.stage": run({"waivers": "later.yaml"}, {**WAIVED, "waivers": "waivers.yaml"}, skills=UNWAIVED),
    "WaiverSpec.owner": ShownBy("test_waivers.py", "is not a person"),
    "WaiverSpec.reason": ShownBy("test_waivers.py", "too vague"),
    "WaiverSpec.expires": ShownBy("test_waivers.py", "expired on"),
    "WaiverSpec.approved_by": ShownBy("test_waived_runs.py", "approved by its own owner"),
    # the registry's policy
    "PolicySpec.aliases": ShownBy("test_policy.py", "production belongs to the pipeline"),
    "AliasSpec.pipeline": ShownBy("test_policy.py", "{production: {pipeline: genes}}"),
    "PolicySpec.suites": ShownBy("test_policy.py", "must use the suite"),
    "PolicySpec.draw": ShownBy("test_policy.py", "drew 5 cases, 100 are needed"),
    "PolicySpec.risk": ShownBy("test_policy.py", "gets through its 1"),
    "LargestRiskSpec.at": ShownBy("test_policy.py", "risk: {at: 0.5, consumer: 0.2}"),
    "LargestRiskSpec.consumer": ShownBy("test_policy.py", "risk: {at: 0.85, consumer: 0.2}"),
    "PolicySpec.keys": ShownBy("test_policy.py", "keys: [ci.pub]"),
    "PolicySpec.ask": ShownBy("test_ask_again.py", "ask: 20 recorded cases must be asked"),
    "PolicySpec.judges": ShownBy("test_policy.py", "judges: []"),
    "PolicySpec.waivers": ShownBy("test_waived_runs.py", "at most 1 may be"),
    "WaiverRulesSpec.most": ShownBy("test_waived_runs.py", "{most: 1}"),
    "WaiverRulesSpec.two_people": ShownBy("test_waived_runs.py", "needs a second person, as `approved_by`"),
    # data
    "DataSpec.path": data({"path": "other.jsonl"}),
    "DataSpec.split": data({"split": "test"}, refused="split"),
    "DataSpec.delimiter": (
        data({"delimiter": ";"}, base={"path": "train.csv"}, refused="no field"),
        data({"delimiter": ","}, refused="only .csv and .tsv"),
    ),
    "DataSpec.prompt": (
        data({"prompt": "{question}"}),
        data({"prompt": "{question}"}, base={"messages": "turns"}, refused="not both"),
        data({"prompt": "{question}"}, "cpt", refused="cpt does not use it"),
    ),
    "DataSpec.messages": (data({"messages": "turns"}), data({"messages": "turns"}, "cpt", refused="does not use it")),
    "DataSpec.completion": (
        data({"completion": "{answer}"}),
        data({"completion": "{answer}"}, "dpo", refused="dpo does not use it"),
    ),
    "DataSpec.chosen": (data({"chosen": "{answer}"}, "dpo"), data({"chosen": "{answer}"}, refused="does not use it")),
    "DataSpec.rejected": (
        data({"rejected": "{answer}"}, "dpo"),
        data({"rejected": "{answer}"}, "kto", refused="not use"),
    ),
    "DataSpec.text": (data({"text": "{answer}"}, "cpt"), data({"text": "{answer}"}, refused="cpt does")),
    "DataSpec.explanation": (
        data({"explanation": "{answer}"}, "explain"),
        data({"explanation": "{answer}"}, refused="explain does"),
    ),
    "DataSpec.label": (data({"label": "thumb"}, "kto"), data({"label": "thumb"}, refused="kto does")),
    "DataSpec.tags": data({"tags": "topic"}),
    "DataSpec.system": (
        data({"system": "Be brief."}),
        data({"system": "Be brief."}, "cpt", refused="does not use it"),
    ),
    "DataSpec.where": data({"where": {"topic": "a"}}),
    "DataSpec.prepare": data({"prepare": {"duplicates": "exact"}}, base=TWICE),
    "PrepareSpec.duplicates": data({"prepare": {"duplicates": "exact"}}, base=TWICE),
    "PrepareSpec.pii": data({"prepare": {"pii": "mask"}}, base=TWICE),
    "PrepareSpec.names": data({"prepare": {"pii": "mask", "names": "nowhere"}}, base=TWICE, refused="spacy"),
    "PrepareSpec.max_tokens": data({"prepare": {"max_tokens": 3}}, base=TWICE),
    "PrepareSpec.split": data(SPLIT),
    "SplitSpec.train": (
        data(SHARES, base=SPLIT),
        data({"prepare.split.train": 0.9}, base=SPLIT, refused="add up to 1"),
    ),
    "SplitSpec.validation": data({"prepare.split": {"train": 0.5, "validation": 0.0, "test": 0.5}}, base=SPLIT),
    "SplitSpec.test": data({"prepare.split": {"train": 0.5, "validation": 0.5, "test": 0.0}}, base=SPLIT),
    "SplitSpec.by": data({"prepare.split.by": "{topic}"}, base=SPLIT),
    "SplitSpec.seed": data({"prepare.split.seed": 5}, base=SPLIT),
    # methods
    "method sft.chat_template": ShownBy("test_chat_templates.py", 'options={"chat_template": "alpaca"}'),
    "method explain.chat_template": ShownBy("test_method_explain.py", 'form="system", chat_template="alpaca"'),
    "method explain.form": run({"stages.0.options": {"form": "completion"}}, EXPLAIN),
    "method explain.separator": (
        ShownBy("test_method_explain.py", 'form="completion", separator=". Why? "'),
        run({"stages.0.options.separator": " # "}, EXPLAIN, refused="form: completion"),
    ),
    "method explain.shown": (
        ShownBy("test_method_explain.py", '"form": "system", "shown": 0.5'),
        run({"stages.0.options": {"form": "completion", "shown": 0.5}}, EXPLAIN, refused="form: system"),
    ),
    "method cpt.chunk_tokens": ShownBy("test_method_cpt.py", 'options={"chunk_tokens": 128}'),
    "method fewshot.k": ShownBy("test_method_fewshot.py", 'options={"k": 2}'),
    "method fewshot.similarity": ShownBy("test_method_fewshot.py", '"similarity": "embedding"'),
    "method command.rows": run({"stages.0.options": {"rows": "dpo"}}, OWN_TRAINER),
    "method command.form": (
        ShownBy("test_method_command.py", '"form": "messages"'),
        run({"stages.0.options": {"rows": "dpo", "form": "messages"}}, OWN_TRAINER, refused="is for rows of sft"),
    ),
    "method command.config": run(
        {"stages.0.options": {"config": "own.yaml"}, "stages.0.command": "python train.py {config}"}, OWN_TRAINER
    ),
    "method rlhf.algorithm": run({"stages.1.options.algorithm": "grpo"}, POLICY),
    "method rlhf.reward": run({"stages.1.options.reward": {"suite": "style"}}, POLICY),
    "method rlhf.max_kl": ShownBy("test_method_rlhf.py", "above options.max_kl 0.0001"),
    "method rlhf.max_invalid": ShownBy("test_method_rlhf.py", 'options={"max_invalid": 0.6}'),
    "method rlhf.max_prompt_tokens": ShownBy("test_method_rlhf.py", 'options={"max_prompt_tokens": 3}'),
    "Reward.suite": run({"stages.1.options.reward": {"suite": "style"}}, POLICY),
    "Reward.check": (
        run({"stages.1.options.reward.check": "exact"}, POLICY),
        run({"stages.1.options.reward": {"stage": "sft", "check": "exact"}}, POLICY, refused="names a check of"),
    ),
    "Reward.stage": (
        ShownBy("test_roles.py", "options: {{reward: {{stage: taste}}}}"),
        run({"stages.1.options.reward": {"stage": "sft"}}, POLICY, refused="no earlier stage with method reward"),
    ),
    "Reward.model": run({"stages.1.options.reward": {"model": "other"}}, POLICY, refused="name the stage"),
}
