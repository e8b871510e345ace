"""What a registry requires of a promotion beyond the pipeline's own rules: `policy.yaml`, next to its folders.

    aliases:
      production: {pipeline: gene-expert}   # only this pipeline moves the alias
    suites: {facts: 3f6c…}                  # the weights passed a gate on each of these suites (sha256)
    risk: {at: 0.85, consumer: 0.2}         # a model right 85 % of the time passes each such gate this often at most
    draw: 100                               # each such gate drew at least this many cases
    judges: [b7e1…]                         # the judges that may decide (sha256 of the judge, as in its admission)
    waivers: {most: 1, two_people: true}    # how many misses may be waived, and whether another person must approve
    keys: [ci.pub]                          # a promotion is signed by one of these keys (files next to the policy)
    ask: 20                                 # the fewest recorded cases asked of the stored weights again

Without `suites`, the rules apply to every gate that the final stage required; with `suites`, only to the gates that it
names. If the record does not have the facts for a rule, the rule is broken. `promote` and `verify` enforce the rules of
the registry, `verify --policy FILE` also those of another file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unicodedata import normalize

from pydantic import Field

from tunegate.exceptions import ConfigError
from tunegate.gates.ask_again import AskedAgain, cases_on_record
from tunegate.promotion.keys import PrivateKey, PublicKey, load_public
from tunegate.reading.spec import Spec, read_spec
from tunegate.reading.yaml_file import load_yaml
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.lucky_gate import attempts_before, unknown_luck
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord, gate_key
from tunegate.record.registered_risk import plan_from_record
from tunegate.stats.asked_again import FEWEST_ASKED

FILE = "policy.yaml"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]


class AliasSpec(Spec):
    """Who may move an alias."""

    pipeline: str
    """The `name` of the pipeline."""


class LargestRiskSpec(Spec):
    """The largest chance that a bad model gets through a gate within all attempts."""

    at: Share = 0.85
    """How often the bad model is right."""
    consumer: Share = 0.2
    """The chance."""


class WaiverRulesSpec(Spec):
    """What may be waived."""

    most: Annotated[int, Field(ge=0)] = 0
    """How many missed gates a promotion may have."""
    two_people: bool = False
    """A waiver counts only with `approved_by`, another person than its `owner`."""


class PolicySpec(Spec):
    """The rules of a registry. A key that is left out requires nothing."""

    aliases: dict[str, AliasSpec] = Field(default_factory=dict[str, AliasSpec])
    """The pipeline that owns an alias; any pipeline may move an alias that is not named here."""
    suites: dict[str, Sha256] = Field(default_factory=dict[str, Sha256])
    """Gates, with the sha256 of their suites, that the promoted weights must have passed."""
    risk: LargestRiskSpec | None = None
    draw: Annotated[int, Field(ge=1)] | None = None
    """The fewest cases of a required gate's draw."""
    judges: list[Sha256] | None = None
    """The judges that may decide; an empty list allows none."""
    waivers: WaiverRulesSpec | None = None
    keys: list[str] = Field(default_factory=list[str])
    """Files with public keys, next to the policy: a promotion must be signed by one of them."""
    ask: Annotated[int, Field(ge=FEWEST_ASKED)] | None = None
    """How many recorded cases must be asked of the stored weights again, at the promotion."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in a file."""

    path: Path
    rules: PolicySpec

    @property
    def keys(self) -> list[PublicKey]:
        """The keys by one of which every promotion must be signed; empty if the policy names none."""
        try:
            return [load_public(self.path.parent / name) for name in self.rules.keys]
        except ConfigError as error:
            raise ConfigError(f"{self.path}: keys: {error}") from error


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises ConfigError for a file that is not one."""
    return Policy(path, read_spec(PolicySpec, load_yaml(path)))


def policies_of(registry: Path, further: Path | None = None) -> list[Policy]:
    """The policy of a registry, if it has one, and that in a further file."""
    own = registry / FILE
    named = [] if further is None else [further]
    # A link to a missing file is still a policy: `load_yaml` says that it cannot be read.
    found = [own] if own.exists() or own.is_symlink() else []
    return [read_policy(path) for path in (*found, *named)]


def check_signer(policies: Sequence[Policy], signer: PrivateKey | None) -> None:
    """Raise NotPromotable unless the key that will sign a promotion is one that the policies trust."""
    for policy in policies:
        trusted = [key.hint for key in policy.keys]
        if trusted and (signer is None or signer.hint not in trusted):
            given = "no key was given" if signer is None else f"{signer.hint} is not one of them"
            raise NotPromotable(
                f"{policy.path}: keys: a promotion must be signed with one of the policy's keys, but {given}; give "
                "the private key: --sign KEY"
            )


def check_rules(policies: Sequence[Policy], run: RunRecord, attempt: AttemptRecord, alias: str | None) -> None:
    """Raise NotPromotable, with every rule that is broken, unless the policies allow a promotion."""
    for policy in policies:
        if broken := list(broken_rules(policy.rules, run, attempt, alias)):
            raise NotPromotable(f"{policy.path}: {'; '.join(broken)}")


def check_export_rules(policies: Sequence[Policy], gates: Mapping[str, GateRecord]) -> None:
    """Raise NotPromotable unless the comparisons of an export, by suite, have what the policies want of a gate.

    Its source must keep all rules, under the aliases of both. Nothing asks an export again, so a policy with `ask`
    allows none.
    """
    for policy in policies:
        broken = [
            phrase for name, gate in gates.items() for phrase in _of_draw(policy.rules, gate, f"comparison on {name!r}")
        ]
        if policy.rules.ask is not None:
            broken.append("ask: the weights must be asked again, which is not done for exports; promote the model")
        if broken:
            raise NotPromotable(f"{policy.path}: {'; '.join(broken)}")


def to_ask(policies: Sequence[Policy]) -> int:
    """How many cases the policies want asked again."""
    return max((policy.rules.ask or 0 for policy in policies), default=0)


def check_asked_enough(policies: Sequence[Policy], asked: AskedAgain | None) -> None:
    """Raise NotPromotable if fewer cases were asked again at a promotion than the policies want."""
    for policy in policies:
        found = 0 if asked is None else len(asked.cases)
        if found < (policy.rules.ask or 0):
            raise NotPromotable(
                f"{policy.path}: ask: {policy.rules.ask} recorded cases must be asked of the stored weights again, and "
                f"at this promotion {found or 'none'} were; promote the run again: tunegate promote RUN --ask "
                f"{policy.rules.ask}"
            )


def broken_rules(policy: PolicySpec, run: RunRecord, attempt: AttemptRecord, alias: str | None) -> Iterator[str]:
    """The rules that a promotion breaks, each as a phrase."""
    owner = policy.aliases.get(alias or "")
    if owner is not None and run.name != owner.pipeline:
        yield f"{alias} belongs to the pipeline {owner.pipeline!r}, not to {run.name!r}"
    registered: Mapping[str, Any] = run.start["gates"][run.goal.name] if run.goal else {}
    for name, sha256 in policy.suites.items():
        gate = attempt.gates.get(name)
        if name not in registered or gate is None or gate.suite_sha256 != sha256:
            found = "no gate" if gate is None else f"the suite {gate.suite_sha256[:12]}…"
            yield f"gate {name!r} must use the suite {sha256[:12]}…, but the final stage has {found}"
        elif policy.waivers is None and name in attempt.waived:
            yield f"gate {name!r} was missed and waived; without `waivers`, the policy wants a pass"
    for name in policy.suites or registered:
        if name in registered and name in attempt.gates:
            yield from _of_gate(policy, run, attempt, name)
    if policy.ask is not None and (on_record := cases_on_record(attempt)) < policy.ask:
        yield f"{policy.ask} cases must be asked again, but only {on_record} of these weights are on record"
    yield from _of_waivers(policy.waivers, run)


def _of_gate(policy: PolicySpec, run: RunRecord, attempt: AttemptRecord, name: str) -> Iterator[str]:
    yield from _of_draw(policy, attempt.gates[name], f"gate {name!r}")
    if policy.risk is not None:
        yield from _of_risk(policy.risk, run, attempt, name)


def _of_draw(policy: PolicySpec, gate: GateRecord, named: str) -> Iterator[str]:
    if policy.draw is not None and gate.drawn < policy.draw:
        yield f"{named} drew {gate.drawn} cases, {policy.draw} are needed"
    if policy.judges is not None:
        for check, facts in gate.registered.admissions.items():
            if facts.get("judge_sha256") not in policy.judges:
                yield f"{named}: the judge of {check!r} ({str(facts.get('judge_sha256'))[:12]}…) may not decide"


def _of_risk(risk: LargestRiskSpec, run: RunRecord, attempt: AttemptRecord, name: str) -> Iterator[str]:
    assert run.goal is not None  # the gate is one of its gates
    confirm = attempt.gates.get(gate_key(name, "confirm"))
    draws: list[GateRecord] = [attempt.gates[name], *([confirm] if confirm else [])]
    if why := unknown_luck(draws):
        yield f"gate {name!r}: the chance that a bad model gets through is {why}"
        return
    budget: Mapping[str, Any] = run.start.get("budget") or {}
    if run.goal.name not in budget:
        yield f"gate {name!r}: the record does not say how many attempts its stage had"
        return
    if not (attempt.gates[name].ledger or LedgerPlace()).entry:
        yield f"gate {name!r}: without a ledger, nobody knows how many attempts were made before"
        return
    attempts = budget[run.goal.name] + attempts_before(attempt.gates[name])
    chance = plan_from_record(run.start["gates"][run.goal.name][name]).acceptance_within(risk.at, attempts)
    if chance > risk.consumer:
        yield (
            f"gate {name!r}: a model that is right {100 * risk.at:g}% of the time gets through its {attempts} attempts "
            f"with probability {chance:.3f}, at most {risk.consumer:g} is allowed"
        )


def _of_waivers(rules: WaiverRulesSpec | None, run: RunRecord) -> Iterator[str]:
    if rules is None:
        return
    waivers = run.waivers()
    if len(waivers) > rules.most:
        yield f"{len(waivers)} misses are waived, at most {rules.most} may be"
    if not rules.two_people:
        return
    for waiver in waivers:
        place, owner, approver = f"{waiver['stage']} {waiver['gate']}", waiver.get("owner"), waiver.get("approved_by")
        if not approver or not owner:
            yield f"the waiver of {place} needs a second person, as `approved_by`"
        elif _person(approver) == _person(owner):
            yield f"the waiver of {place} is approved by its own owner, {owner}"


def _person(name: str) -> str:
    """A name as people read it: without the spaces, the capitals and the forms of letters in which two may differ."""
    return "".join(normalize("NFKC", name).casefold().split())
