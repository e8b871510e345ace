"""Proofs for the keys of a suite file: what is asked, or how it is decided, is another."""

from __future__ import annotations

from tests.support.option_proofs import Proof, Proofs, ShownBy, responses, suite

ALL_KNOWN = {"cases.where": {"known": True}}
RISK = {"plan": {"kind": "double", "draw": 20, "accept": 15, "risk": {"at": 0.5}}, "sealed": 0.5, **ALL_KNOWN}
CONFIRMED = {"plan": {"kind": "double", "draw": 10, "confirm": {"draw": 10, "accept": 9}}, **ALL_KNOWN}
ANYTIME = {"plan": {"kind": "anytime", "draw": 40, "risk": {"at": 0.5}}}
SEQUENTIAL = {"plan": {"kind": "sequential", "draw": 40, "risk": {"at": 0.5}}}
CHOOSES = {"cases.choices": "{options}", "checks": ["choice"]}
THOUGHTS = {"cases.path": "thoughts.jsonl", "cases.reference": "answer {number}"}
SAMPLED = {"generate": {"temperature": 0.7, "samples": 3}}
PAIR = ["topic=a", "topic=b"]
TIMED = {"limits": {"latency_ms": {"p": 95, "max": 60000}}}
FAST = {"limits": {"tokens_per_s": {"p": 95, "min": 0.001}}}


def sampled(name: str, value: float) -> tuple[Proof, Proof]:
    """A setting of sampling changes a suite that draws its answers, and is refused in one that does not."""
    key = f"generate.{name}"
    return suite({key: value}, {"generate.temperature": 0.5}), suite({key: value}, refused="temperature 0")


PROOFS: Proofs = {
    "SuiteSpec.sweep": (
        ShownBy("test_sweep.py", '"sweep: {temperature: [0, 0.8]}"'),
        suite({"sweep": {"top_p": [0.5, 0.9]}}, refused="no effect at temperature 0"),
    ),
    **{
        f"SweepSpec.{name}": (
            ShownBy("test_sweep.py", f'"{name}": {values}'),
            suite({f"sweep.{name}": [*values, values[0]]}, refused="expected different values"),
        )
        for name, values in (
            ("temperature", [0, 0.8]),
            ("top_p", [0.5, 0.9]),
            ("top_k", [2, 5]),
            ("min_p", [0.1, 0.3]),
            ("typical_p", [0.6, 0.7]),
            ("repetition_penalty", [1.1, 1.2]),
        )
    },
    "CasesSpec.path": suite({"cases.path": "others.jsonl"}),
    "CasesSpec.split": suite({"cases.split": "test"}, refused="split"),
    "CasesSpec.delimiter": (
        suite({"cases.delimiter": ";"}, {"cases.path": "cases.csv"}, refused="no field"),
        suite({"cases.delimiter": ","}, refused="only .csv and .tsv"),
    ),
    "CasesSpec.id": suite({"cases.id": "{number}"}),
    "CasesSpec.prompt": (
        suite({"cases.prompt": "{passage}: {prompt}"}),
        suite({"cases.prompt": "{passage}"}, {"cases.messages": "turns"}, refused="not both"),
    ),
    "CasesSpec.messages": suite({"cases.messages": "turns"}),
    "CasesSpec.reference": suite({"cases.reference": "{other}"}),
    "CasesSpec.separator": (
        suite({"cases.separator": ";"}, {"cases.reference": "{spelled}"}),
        suite({"cases.separator": ";"}, refused="in no reference and no choice"),
    ),
    "CasesSpec.context": suite({"cases.context": "{passage}"}),
    "CasesSpec.choices": suite({"cases.choices": "{options}"}),
    "CasesSpec.tags": suite({"cases.tags": ["document"]}),
    "CasesSpec.group": suite({"cases.group": "{document}"}),
    "CasesSpec.where": suite({"cases.where": {"topic": "a"}}),
    "DrawSpec.draw": suite({"plan.confirm.draw": 12}, CONFIRMED),
    "DrawSpec.accept": suite({"plan.confirm.accept": 10}, CONFIRMED),
    "RiskSpec.consumer": suite({"plan.risk.consumer": 0.001}, RISK),
    "RiskSpec.at": suite({"plan.risk.at": 0.7}, RISK),
    "RiskSpec.producer": suite({"plan.risk.producer": 0.001}, RISK),
    "RiskSpec.good": suite({"plan.risk.good": 0.8}, RISK, refused="producer"),
    "RiskSpec.pipeline": ShownBy("test_pipeline_share.py", "pipeline: true"),
    "PlanSpec.kind": (
        suite({"plan.kind": "sequential"}, {"plan": {"draw": 40, "risk": {"at": 0.5}}}),
        suite({"plan.kind": "anytime"}, {"plan": {"draw": 40, "risk": {"at": 0.5}}}),
    ),
    "PlanSpec.spending": ShownBy("test_spending.py", "spending=True"),
    "PlanSpec.draw": suite({"plan.draw": 30}),
    "PlanSpec.accept": (suite({"plan.accept": 20}), suite({"plan.accept": 20}, SEQUENTIAL, refused="sequential")),
    "PlanSpec.confirm": (
        suite({"plan.confirm": {"draw": 12, "accept": 9}}, CONFIRMED),
        suite({"plan.confirm": 10}, SEQUENTIAL, refused="sequential"),
        suite({"plan.confirm": "never"}, CONFIRMED, refused="contradicts"),
        suite(
            {"plan.confirm": 10},
            {"plan": {"risk": {"at": 0.5}, "draw": 20}},
            refused="leave out `accept` and `confirm`",
        ),
    ),
    "PlanSpec.risk": suite({"plan": {"risk": {"at": 0.6, "good": 0.97}, "draw": 40}}),
    "PlanSpec.curtail": (
        suite({"plan.curtail": True}),
        suite({"plan.curtail": False}, SEQUENTIAL, refused="curtail"),
        suite({"plan.curtail": False}, ANYTIME, refused="curtail"),
    ),
    "PlanSpec.ask_again": ShownBy("test_attrition.py", "{draw: 100, accept: 90, ask_again: 0}"),
    "AgainstSpec.path": ShownBy("test_diverse_answers.py", "diversity: {against: train.jsonl}"),
    "AgainstSpec.text": ShownBy("test_diverse_answers.py", 'diversity: {against: {path: few.jsonl, text: "{anser}"}}'),
    "DiversitySpec.at_least": ShownBy("test_diverse_answers.py", "at_least: 0.2"),
    "DiversitySpec.measures": ShownBy("test_diverse_answers.py", "measures: templates"),
    "DiversitySpec.against": ShownBy("test_diverse_answers.py", "diversity: {against: train.jsonl}"),
    "DiversitySpec.risk": ShownBy("test_diverse_answers.py", "risk: 0.001"),
    "SuiteSpec.diversity": (
        suite({"diversity": {}}, ANYTIME, refused="anytime"),
        ShownBy("test_diverse_answers.py", "test_one_answer_to_every_question_fails_although_every_case_passes"),
    ),
    "SliceSpec.min": suite({"slices.topic=a.min": 0.99}, {"slices": {"topic=a": {"min": 0.1}}}),
    "SliceSpec.at_least": suite({"slices.topic=a.at_least": 15}, {"slices": {"topic=a": {"min": 0.1}}}),
    "GapSpec.between": suite(
        {"gap.between": ["document=d1", "document=d2"]}, {"gap": {"between": PAIR, "at_least": 5}}, "gap"
    ),
    "GapSpec.max": suite({"gap.max": 0.0}, {"gap": {"between": PAIR, "at_least": 5, "max": 90.0}}),
    "GapSpec.at_least": suite({"gap.at_least": 10}, {"gap": {"between": PAIR, "at_least": 5, "max": 90.0}}),
    "GenerateSpec.max_new_tokens": (
        suite({"generate.max_new_tokens": 7}),
        suite({"generate.max_new_tokens": 7}, CHOOSES, "generate"),
    ),
    "GenerateSpec.system": (
        suite({"generate.system": "Be brief."}),
        suite({"generate.system": "Be brief."}, CHOOSES),
    ),
    "GenerateSpec.stop": suite({"generate.stop": "###"}),
    "GenerateSpec.temperature": suite({"generate.temperature": 0.5}),
    "GenerateSpec.seed": (
        suite({"generate.seed": 5}, {"generate.temperature": 0.5}),
        suite({"generate.seed": 5}, refused="temperature"),
    ),
    "GenerateSpec.top_p": sampled("top_p", 0.9),
    "GenerateSpec.top_k": sampled("top_k", 40),
    "GenerateSpec.min_p": sampled("min_p", 0.05),
    "GenerateSpec.typical_p": sampled("typical_p", 0.9),
    "GenerateSpec.repetition_penalty": suite({"generate.repetition_penalty": 1.2}),
    "GenerateSpec.samples": (
        suite({"generate.samples": 3}, {"generate.temperature": 0.7}),
        suite({"generate.samples": 3}, refused="temperature 0"),
    ),
    "GenerateSpec.form": (
        suite({"generate.form": "raw"}),
        suite({"generate.form": "raw"}, {"cases.messages": "turns"}, refused="raw text cannot express chats"),
        ShownBy("test_choice_form.py", '("raw", "Which gene?", ("Which gene?", " BLM"))'),
    ),
    "GenerateSpec.system_as": suite({"generate.system_as": "first_user"}, {"generate.system": "Be brief."}),
    "AnswerSpec.after": (
        suite({"answer.after": "think"}, THOUGHTS),
        suite({"answer.after": "think"}, {"answer": {"whole": True}}, refused="judges the whole answer"),
    ),
    "AnswerSpec.extract": (
        suite({"answer.extract": "last_number"}, {"checks": [{"regex": "answer"}]}),
        suite({"answer.extract": "boxed"}, {"answer": {"whole": True}}, refused="judges the whole answer"),
    ),
    "AnswerSpec.whole": suite({"answer.whole": True}, THOUGHTS),
    "ResponsesSpec.id": responses({"responses.id": "{key}"}),
    "ResponsesSpec.response": responses({"responses.response": "{output}"}),
    "ResponsesSpec.prompt": responses({"responses.prompt": "{asked}"}, refused="another prompt"),
    "SuiteSpec.responses": responses({"responses": {"response": "{output}"}}),
    "SuiteSpec.answer": (
        suite({"answer": "think"}, THOUGHTS),
        suite({"answer": "think"}, CHOOSES, refused="likelihoods"),
    ),
    "SuiteSpec.case_passes": (
        suite({"case_passes": "any"}, SAMPLED),
        suite({"case_passes": "any"}, refused="needs several answers"),
    ),
    "SuiteSpec.allow": ShownBy("test_told_answers.py", "ALLOWED: suite"),
    "SuiteSpec.name": suite({"name": "other"}),
    "SuiteSpec.cases": suite({"cases": "others.jsonl"}),
    "SuiteSpec.checks": suite({"checks": [{"regex": "1"}]}),
    "SuiteSpec.plan": suite({"plan": {"draw": 5, "accept": 5}}),
    "SuiteSpec.generate": suite({"generate": {"max_new_tokens": 7}}),
    "SuiteSpec.sealed": suite({"sealed": 0.6}),
    "SuiteSpec.slices": (
        suite({"slices": {"topic=a": 0.99}}),
        suite({"slices": {"topic=a": 0.99}}, SEQUENTIAL, refused="sequential"),
        suite({"slices": {"topic=a": 0.99}}, ANYTIME, refused="anytime"),
    ),
    "SuiteSpec.weight": ShownBy("test_groups.py", "test_a_weighted_pass_rate_is_shown_and_decides_nothing"),
    "SuiteSpec.limits": (
        suite({"limits": {"size_mb": 300}}),
        suite({"limits": {"latency_ms": 60000}}),
        suite({"limits": {"size_mb": 300}}, {"retention": {}}, refused="retention suite"),
    ),
    "LimitsSpec.latency_ms": suite({"limits.latency_ms": 60000}, {"limits": {"size_mb": 300}}),
    "LimitsSpec.ttft_ms": suite({"limits.ttft_ms": 60000}, {"limits": {"size_mb": 300}}),
    "LimitsSpec.tokens_per_s": suite({"limits.tokens_per_s": 0.001}, {"limits": {"size_mb": 300}}),
    "LimitsSpec.size_mb": suite({"limits.size_mb": 300}, TIMED),
    "LimitsSpec.memory_mb": suite({"limits.memory_mb": 300}, TIMED),
    "LimitsSpec.cost_per_1k": suite({"limits.cost_per_1k": {"max": 1, "input": 1, "output": 1}}, TIMED),
    "LimitsSpec.requests": (
        suite({"limits.requests": 20}, {"limits": {"latency_ms": {"p": 50, "max": 60000}, "requests": 5}}),
        suite({"limits.requests": 21}, TIMED, refused="the plan draws 20"),
    ),
    "LimitsSpec.warmup": suite({"limits.warmup": 9}, TIMED),
    "LimitsSpec.concurrency": ShownBy("test_serving_limits.py", "concurrency=4"),
    "TimeLimitSpec.p": suite({"limits.latency_ms.p": 99}, TIMED, refused="at least 100 are needed"),
    "TimeLimitSpec.max": suite({"limits.latency_ms.max": 1e-9}, TIMED),
    "TimeLimitSpec.max_ratio": ShownBy("test_serving_limits.py", "test_base_is_the_model_of_the_pipeline"),
    "TimeLimitSpec.baseline": ShownBy("test_serving_limits.py", "test_a_model_and_its_baseline_are_measured_in_turns"),
    "SpeedLimitSpec.p": suite({"limits.tokens_per_s.p": 99}, FAST, refused="at least 100 are needed"),
    "SpeedLimitSpec.min": ShownBy("test_limits.py", "test_speed_is_a_minimum"),
    "SizeLimitSpec.max": ShownBy("test_limits.py", "test_size_and_memory_are_figures"),
    "CostLimitSpec.max": ShownBy("test_limits.py", "test_cost_is_the_mean_by_the_prices_and_needs_every_count"),
    "CostLimitSpec.input": ShownBy("test_limits.py", "test_cost_is_the_mean_by_the_prices_and_needs_every_count"),
    "CostLimitSpec.output": ShownBy("test_limits.py", "test_cost_is_the_mean_by_the_prices_and_needs_every_count"),
    "SuiteSpec.gap": suite({"gap": {"between": PAIR, "max": 0, "at_least": 5}}),
}
