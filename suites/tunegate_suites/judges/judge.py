"""`judge`: the verdict of a judge that was first compared with people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from tunegate.addresses import addresses_in
from tunegate.checks.check import Need, Sample
from tunegate.checks.judge_admission import DEFAULT_ADMIT
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import ConfigError, TunegateError, nearest
from tunegate.models.open_model import is_server
from tunegate.models.sentences import default_model
from tunegate.optional import require
from tunegate.reading.files import read_text, resolve
from tunegate.trust.wants import Wants, one_spelling
from tunegate_suites.base import NumericCheck
from tunegate_suites.judges.admission import AdmitOptions, Standing, judge_hash, standing
from tunegate_suites.judges.compare import CompareOptions, ComparingJudge, Fitted, read_fitted
from tunegate_suites.judges.labels import LabelsOptions
from tunegate_suites.judges.llm import InPairs, OneByOne
from tunegate_suites.judges.local import LocalJudge
from tunegate_suites.judges.opinion import Backend, Opinion
from tunegate_suites.judges.panel import Panel
from tunegate_suites.judges.rubric import RubricFile
from tunegate_suites.judges.server import ServerJudge, ServerOptions, api_key, contact_of
from tunegate_suites.options import MAX_FILE_BYTES, wants_of_model

ITSELF = "the judge is the model under test: name another model, or give a reason in `allow_self_judging`"
KINDS = ("model", "server", "compare", "panel")
FIXED_PASSES = ("correct", "better", "pass")
"""The verdicts that pass for judges with fixed verdicts: comparing, pairwise, panel."""


class Judge(NumericCheck):
    """A judge decides: an LLM by a rubric, a comparison with the references, or a panel of judges.

    It counts only with an admission record (`tunegate judge`) in which the lower end of kappa's interval is at least
    `admit`; without one every case is INVALID and the judge is not asked. A reply that is not a verdict of the rubric
    (a server that is down, a malformed or empty reply) makes the case INVALID too, and the raw reply is kept. The model
    under test is not asked to judge itself.

    The options may be in a separate file, which `tunegate judge` accepts too: `- judge: judges/helpful.yaml`.
    """

    shorthand: ClassVar[str | None] = "file"
    example: ClassVar[str] = "judge: {rubric: rubrics/helpful.yaml, model: ./judge, min: 4}"
    passes_when: ClassVar[str] = "`min` <= verdict <= `max` on a scale; the verdict is in `accept` for labels"
    extra: ClassVar[str | None] = "server (server), hf (model), similarity (compare)"
    bounds_required: ClassVar[bool] = False
    revision: ClassVar[str] = "2"

    file: str | None = None
    """a file with all other options; paths in it are relative to it"""
    rubric: RubricFile | None = None
    """for an LLM: a file with criterion, scale or labels, meanings, examples"""
    model: str | None = None
    """a local model (folder, .gguf file, hub id): the verdict is the label with the highest likelihood"""
    server: ServerOptions | None = None
    """an OpenAI-compatible server (its options are below)"""
    compare: CompareOptions | None = None
    """no LLM: a few numbers compare the answer with the references (its options are below)"""
    panel: Annotated[list[str], Field(min_length=2)] | None = None
    """judge files; more than half of them must agree, or the case is INVALID. The panel is admitted as a whole"""
    pairwise: bool = False
    """an LLM says which is better, the answer or the first reference, in both orders; if they differ, INVALID. The
    rubric has labels: [1, 2]"""
    accept: list[str] | None = None
    """labels that pass"""
    allow_self_judging: Annotated[str, Field(min_length=10)] | None = None
    """the reason why the model under test may judge itself"""
    admit: Annotated[float, Field(gt=0, lt=1)] | AdmitOptions = DEFAULT_ADMIT
    """the judge counts only if the lower end of kappa's interval is at least this; or with how old it may be (its
    options are below)"""
    corrected_min: Annotated[float | None, Field(gt=0, lt=1)] = None
    """the gate also needs this lower end of the pass rate corrected for the judge's errors (Rogan-Gladen)"""
    # The place of the record changes no verdict; its contents are part of the fingerprint (`further_facts`).
    admission: str | None = Field(default=None, exclude=True)
    """the admission record; default: found by the judge's hash in .tunegate/admissions, here or in a folder above"""
    labels: LabelsOptions | None = Field(default=None, exclude=True)
    """the fields of a row of human labels, for `tunegate judge` (its options are below)"""

    # --- what it wants ---

    @property
    def wants(self) -> Wants:
        """Of a panel, its own files; the members are `inner`."""
        given, base_dir = self._context.given, self._context.base_dir
        names = [given.get("rubric"), self.compare.fitted if self.compare is not None else None]
        files = [resolve(name, base_dir) for name in names if isinstance(name, str)]
        wants = Wants(
            reads=(*([self._context.file] if self._context.file else []), *files),
            admissions=(resolve(self.admission, base_dir),) if self.admission else (),
        )
        if self.server is not None:
            wants += contact_of(self.server, self.name)
        return wants if self.model is None else wants + wants_of_model(self._model_path, f"{self.name}.model")

    @property
    def inner(self) -> Sequence[object]:
        return [{"judge": name} for name in self.panel or ()]

    # --- validation ---

    def prepare(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            named = f", not {' and '.join(map(repr, given))}" if given else ""
            raise self.config_error(
                "model", f"name one judge: 'model' (a local model), 'server', 'compare' or 'panel'{named}"
            )
        if self.compare is not None or self.panel is not None:
            self._check_fixed_verdicts(given[0])
        else:
            self._check_llm()
        if self.panel is not None:
            _ = self.members
        self._check_record()

    def _check_fixed_verdicts(self, kind: str) -> None:
        for option in ("rubric", "accept", "min", "max"):
            if getattr(self, option) is not None:
                raise self.config_error(option, f"a judge with {kind!r} has fixed verdicts: leave this out")
        if self.pairwise:
            raise self.config_error("pairwise", f"a judge with {kind!r} already compares: leave this out")
        if self.allow_self_judging is not None:
            where = "write it in the files of its members" if kind == "panel" else "it is never the model under test"
            raise self.config_error("allow_self_judging", f"a judge with {kind!r} does not use this: {where}")
        if self.compare is not None and {"similarity", "support"} & set(self.compare.features):
            default_model(self.name)

    def _check_llm(self) -> None:
        if self.rubric is None:
            raise self.config_error("rubric", "an LLM judge needs a rubric: name its file")
        if self.pairwise:
            self._check_pairwise()
        else:
            self._check_pass_condition()
        if self.server is not None:
            require("judge with a server", "server", "openai")
            api_key(self.server, self.name)
        elif self.model is not None and self.model.lower().startswith(("http://", "https://")):
            raise self.config_error("model", "a server does not give the likelihood of a label; name it in `server`")
        else:
            _ = self._sha256

    def _check_pairwise(self) -> None:
        assert self.rubric is not None
        if self.rubric.menu != ("1", "2") or self.rubric.examples:
            raise self.config_error("rubric", "a pairwise rubric must have labels: [1, 2] and no examples")
        if "show" in self.rubric.model_fields_set and "references" in self.rubric.show:
            raise self.config_error("rubric", "a pairwise judge compares with the reference: remove it from `show`")
        if self.accept is not None or self.cutoff is not None:
            raise self.config_error("accept", "a pairwise judge passes the better answer: leave accept, min, max out")

    def _check_pass_condition(self) -> None:
        assert self.rubric is not None
        menu, scale = self.rubric.menu, self.rubric.scale
        if scale is None:
            if not self.accept or self.cutoff is not None:
                raise self.config_error(
                    "accept", f"the rubric has labels: name those that pass, for example accept: [{menu[0]}]"
                )
            for label in self.accept:
                if label not in menu:
                    raise self.config_error("accept", f"{label!r} is not a label of the rubric{nearest(label, menu)}")
            if set(menu) <= set(self.accept):
                raise self.config_error(
                    "accept", f"nothing fails: all labels are accepted ({', '.join(menu)}); leave one out"
                )
            return
        if self.cutoff is None or self.accept is not None:
            raise self.config_error("min", f"the rubric has a scale: set what passes, for example min: {scale.max - 1}")
        for option, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not scale.min <= bound <= scale.max:
                message = f"expected a number on the rubric's scale, {scale.min} to {scale.max}, got {bound:g}"
                raise self.config_error(option, message)
        if self.holds_for_all(scale.min, scale.max):
            option = "max" if self.min is None else "min"
            raise self.config_error(option, f"nothing fails: every verdict is from {scale.min} to {scale.max}")

    def _check_record(self) -> None:
        """Read the record now, so that a changed record is TAMPERED before anything is asked."""
        if self.compare is None or self.fitted_path.exists():
            _ = self.standing

    # --- identity and admission ---

    @property
    def batch_size(self) -> int:
        return 64

    @cached_property
    def _model_path(self) -> str:
        """The local model; a relative path is resolved from the suite file."""
        beside = self._context.base_dir / (self.model or "")
        return str(beside) if beside.exists() else self.model or ""

    @cached_property
    def _sha256(self) -> str | None:
        """The fingerprint of a local judge."""
        if self.model is None:
            return None
        try:
            return self._context.models.sha256(self._model_path)
        except TunegateError as error:
            raise self.config_error("model", str(error)) from error

    @property
    def asks_local_models(self) -> bool:
        """Whether it, or a member of the panel, is a model that is opened here or on workers."""
        return self.model is not None or any(member.model is not None for member in self.members)

    @property
    def fitted_path(self) -> Path:
        """The file of a comparing judge's weights."""
        assert self.compare is not None
        return resolve(self.compare.fitted, self._context.base_dir)

    @cached_property
    def fitted(self) -> Fitted:
        """The weights of a comparing judge; raises ConfigError if there are none yet."""
        assert self.compare is not None
        path = self.fitted_path
        try:
            return read_fitted(read_text(path, MAX_FILE_BYTES), self.compare.features)
        except ConfigError as error:
            fit = "" if path.exists() else "; fit it first: tunegate judge JUDGE --labels FILE --fit"
            raise self.config_error("compare.fitted", f"{path.name}: {error}{fit}") from error

    @cached_property
    def members(self) -> list[Judge]:
        """The judges of a panel."""
        from tunegate_suites.build import build_in  # late, since it imports this module by the name of the check

        members: list[Judge] = []
        for name in self.panel or ():
            member = build_in({"judge": name}, self._context)
            assert isinstance(member, Judge)
            if member.panel is not None:
                raise self.config_error("panel", f"{name}: a panel cannot contain a panel; list its members instead")
            if member.corrected_min is not None:
                message = f"{name}: corrected_min: a member does not decide a gate; set it next to panel"
                raise self.config_error("panel", message)
            members.append(member)
        if len({member.judge_sha256 for member in members}) < len(members):
            raise self.config_error(
                "panel", "two members are the same judge, so its vote would count twice; remove one"
            )
        return members

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that can change a verdict of this judge: revision, rubric, pass condition, and the model."""
        chosen: dict[str, Any] = self.model_dump(
            mode="json", include={"rubric", "server", "compare", "pairwise", "accept", "min", "max"}
        )
        identity: dict[str, Any] = {"revision": self.revision, **chosen, "model_sha256": self._sha256}
        if self.compare is not None:
            identity["fitted_sha256"] = self.fitted.sha256
            if {"similarity", "support"} & set(self.compare.features):
                identity["embeddings"] = {"weights_sha256": default_model(self.name).weights_sha256}
        if self.panel is not None:
            identity["panel"] = sorted(member.judge_sha256 for member in self.members)
        if self.server is not None:
            identity["note"] = "a server has no weights to hash: it is known by its address and the model's name"
        return identity

    @cached_property
    def judge_sha256(self) -> str:
        """The hash under which the judge is admitted."""
        return judge_hash(self.identity)

    @cached_property
    def standing(self) -> Standing:
        """Whether the judge is admitted, by which record, and why not otherwise."""
        path = resolve(self.admission, self._context.base_dir) if self.admission else None
        file = shlex.quote(str(self._context.file)) if self._context.file else "THE-SUITE-OR-JUDGE-FILE"
        command = f"tunegate judge {file} --labels FILE"
        if self.is_looked_at and self.model is not None and self._sha256 is None:
            return Standing(None, f"{self.model} is not on this machine, so whether the judge is admitted is unknown")
        return standing(
            self.judge_sha256, path, self._context.base_dir, self.admission_needs, command, self._context.trust
        )

    @property
    def admission_needs(self) -> AdmitOptions:
        return self.admit if isinstance(self.admit, AdmitOptions) else AdmitOptions(min=self.admit)

    @property
    def admission_facts(self) -> dict[str, Any]:
        """The judge's admission for a gate's record: its figures and its age, or the reason why there is none."""
        record, days = self.standing.record, self.admission_needs.days
        age = {"age": asdict(record.age)} if record and record.age.since else {}
        limit = {} if days is None else {"within_days": days}
        return {**self._lasting_facts, **age, **limit, "fault": self.standing.fault}

    @property
    def _lasting_facts(self) -> dict[str, Any]:
        record = self.standing.record
        facts = record.facts() if record else {"judge_sha256": self.judge_sha256}
        return {**facts, "admit": self.admission_needs.min, "corrected_min": self.corrected_min}

    def further_facts(self) -> dict[str, Any]:
        # Without the text of the fault, which names files: equal judges are equal in any folder. Without its age: a
        # suite is the same suite tomorrow.
        fault = self.standing.fault is not None and not self.standing.expired
        return {"judge": self.identity, "admission": {**self._lasting_facts, "fault": fault}}

    @property
    def version(self) -> str:
        return f"{self.revision} ({self.standing.in_short})"

    def is_the_model(self, name: str, sha256: str | None) -> bool:
        """Whether a model under test is this judge: the same weights, or the same name on the same server.

        The name of a model on a server is written `http://host/v1#model`; of several servers, one is enough.
        """
        if self.server is not None:
            own = {one_spelling(f"{one}#{self.server.model}") for one in self.server.addresses}
            return is_server(name) and not own.isdisjoint(map(one_spelling, addresses_in(name)))
        return sha256 is not None and sha256 == self._sha256

    # --- judging ---

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",) if self.pairwise or self.compare is not None else ()

    @cached_property
    def _backend(self) -> Backend:
        if self.compare is not None:
            return ComparingJudge(self.compare, self.fitted)
        if self.panel is not None:
            return Panel([member.findings for member in self.members])
        assert self.rubric is not None
        if self.server is not None:
            asker = ServerJudge(self.server, self.rubric.menu)
        else:
            asker = LocalJudge(self._model_path, self._sha256, self.rubric.menu, self._context.models)
        return (InPairs if self.pairwise else OneByOne)(self.rubric, asker, as_json=self.server is not None)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        if self.standing.fault is not None:
            return [self.invalid(self.standing.fault) for _ in samples]
        return [replace(finding, version=self.version) for finding in self.findings(samples)]

    def findings(self, samples: Sequence[Sample]) -> list[Finding]:
        """The judge's findings, admitted or not: for measuring it, and for a panel, which is admitted as a whole."""
        if self.allow_self_judging is None and any(
            self.is_the_model(sample.model_name, sample.model_sha256) for sample in samples
        ):
            return [self._no_finding(ITSELF) for _ in samples]
        return [self._finding(opinion) for opinion in self._backend.opinions(samples)]

    def _finding(self, opinion: Opinion) -> Finding:
        if opinion.label is None:
            return replace(self._no_finding(opinion.reason, opinion.raw), value=opinion.place)
        note = f": {opinion.reason}" if opinion.reason else ""
        if self.cutoff is not None:
            return self.scored(float(opinion.label), note, opinion.raw)
        return replace(
            self._no_finding(f"verdict {opinion.label}{note}", opinion.raw),
            verdict=Verdict.PASS if self.passes(opinion.label) else Verdict.FAIL,
            value=opinion.label,
        )

    def _no_finding(self, reason: str, detail: str | None = None) -> Finding:
        """An INVALID finding, without reading the admission, which an unmeasured judge does not have."""
        return Finding(self.name, Verdict.INVALID, None, reason, self.revision, detail=detail)

    def passes(self, label: str) -> bool:
        """Whether a verdict means that the answer passes."""
        if self.cutoff is not None:
            return self.holds(float(label))
        return label in (self.accept or FIXED_PASSES)

    @property
    def menu(self) -> tuple[str, ...]:
        """The verdicts of the rubric, in order; empty for judges with fixed verdicts."""
        return self.rubric.menu if self.rubric is not None and not self.pairwise else ()
