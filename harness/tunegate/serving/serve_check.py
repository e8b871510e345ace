"""Asks a server and the model that it should serve the same cases, and collects what the rules compare.

It asks cases that gates have asked before, according to the ledger, in an order that depends on the seed. This check
accepts no model, so used cases serve as well as fresh ones, and no gate loses any. Fresh ones are added only if there
are too few. The draw is written to the ledger like any other, so that no gate counts these cases as fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunegate.cases.bank import draw
from tunegate.cases.case import Case, question_of
from tunegate.checks.check import Sample
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import ask_samples
from tunegate.gates.book import Book, Draft, NoLedger
from tunegate.gates.draw import Draw, GatePlace, draw_fresh
from tunegate.gates.judging import Judging
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.ledger.ledger import Ledger
from tunegate.models import server_facts as told
from tunegate.models.first_tokens import FirstToken, first_tokens, gap, text_of
from tunegate.models.hf import HFModel
from tunegate.models.model import Model, Response
from tunegate.models.openai_server import OpenAIModel
from tunegate.serving.signature import Pair, Serving, Signature, decide, median_of
from tunegate.stats.sampling import same_share
from tunegate.suites.suite import Suite
from tunegate.verdicts.comparison import compare

MAX_DROP = 5.0
"""Percentage points that the server may be worse."""

Open = Callable[[str], Model]


@dataclass(frozen=True)
class ServeCheck:
    """A server, the model that it should serve (`against`), and models that it may serve instead (`suspects`)."""

    server: OpenAIModel
    against: str
    suite: Suite
    n: int
    seed: int
    ledger: Ledger | NoLedger
    suspects: Sequence[str] = ()


def serve_check(request: ServeCheck, open_model: Open, say: Callable[[str], None]) -> tuple[Serving, Draw]:
    """Ask both and decide. One local model is loaded at a time.

    Raises ConfigError for a model that is not local, and for too few cases.
    """
    settings = replace(request.suite.settings, temperature=0.0, samples=1)
    suite = replace(request.suite, settings=settings)
    model = _local(request.against, open_model)
    drawn = draw_cases(request, model.sha256)
    say(f"asking {model.name}")
    ours, samples = first_tokens(model, drawn.cases, settings), ask_samples(suite, model, drawn.cases)
    tokenizer = model.tokenizer
    del model
    say(f"asking {request.server.name}")
    theirs = told.first_tokens(request.server, drawn.cases, settings, lambda ids: text_of(tokenizer, ids))
    served = ask_samples(suite, request.server, drawn.cases)
    before, after = (list(Judging.of(suite).outcomes(side)) for side in (samples, served))
    signature = Signature(
        tuple(map(pair_of, ours, theirs, samples, served)),
        compare(before, after, MAX_DROP),
        told.server_facts(request.server),
        request.server.model,
        max(one.n_prompt or 0 for one in ours) + settings.max_new_tokens,
    )
    suspects = _gaps_of(request, open_model, drawn.cases, theirs, say)
    return decide(replace(signature, suspects=suspects)), drawn


def _local(spec: str, open_model: Open) -> HFModel:
    model = open_model(spec)
    if not isinstance(model, HFModel):
        raise ConfigError(
            f"--against: expected a model on this machine, whose log-probabilities can be read, got {spec}"
        )
    return model


def _gaps_of(
    request: ServeCheck,
    open_model: Open,
    cases: Sequence[Case],
    theirs: Sequence[FirstToken],
    say: Callable[[str], None],
) -> Mapping[str, float | None]:
    """The median gap of each suspect to the server; empty if it gives no log-probabilities."""
    found: dict[str, float | None] = {}
    for name in request.suspects if any(one.log_probabilities for one in theirs) else ():
        say(f"asking {name}")
        own = first_tokens(_local(name, open_model), cases, replace(request.suite.settings, temperature=0.0))
        found[name] = median_of([one for one in map(gap, own, theirs) if one is not None])
    return found


def pair_of(ours: FirstToken, theirs: FirstToken, our: Sample, their: Sample) -> Pair:
    """One case on both sides."""
    mine, served = our.response, their.response
    return Pair(
        our.case.id,
        same_answer=_text(mine) == _text(served) is not None,
        runs_on=_runs_on(mine, served),
        ended=mine.error is None and mine.finish_reason == "stop",
        finish=served.finish_reason,
        gap=gap(ours, theirs),
        same_prompt=None if theirs.prompt is None else theirs.prompt == ours.prompt,
        n_ours=ours.n_prompt,
        n_theirs=theirs.n_prompt,
    )


def _text(response: Response) -> str | None:
    return None if response.error is not None else response.text.strip()


def _runs_on(mine: Response, served: Response) -> bool:
    """Whether our answer had ended, and the served answer begins with all of it and continues."""
    if mine.error is not None or served.error is not None or mine.finish_reason != "stop":
        return False
    own, longer = mine.text.strip(), served.text.strip()
    return bool(own) and longer.startswith(own) and len(longer) > len(own)


# --- the draw ------------------------------------------------------------------------------------------------------


def draw_cases(request: ServeCheck, sha256: str | None) -> Draw:
    """The cases: asked ones first, then fresh ones; written to the ledger. Raises ConfigError for a bank that is too
    small, Inconclusive if other draws need all fresh cases that are missing."""
    suite, place = request.suite, GatePlace(request.suite.name, purpose="reference")
    identity = [suite.sha256, request.n, request.seed, request.server.name, sha256]
    book = Book(f"serve-check-{sha256_hex(canonical_json(identity))[:16]}", request.ledger)
    plan = same_share(suite.plan.first, request.n)
    name = f"{request.server.name} against {request.against}"

    def choose(used: frozenset[str]) -> Draw:
        part = suite.bank.part(place.part)
        spent = draw([case for case in part if question_of(case) in used], request.n, request.seed)
        return draw_fresh(place, suite, request.n, request.seed, used, begin=spent)

    return book.register(Draft(place, suite, plan, request.seed, name, None), choose)
