"""`tunegate serve-check URL#MODEL --against MODEL`: does the server give the model that was gated?"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from functools import partial
from typing import Any

from tunegate.commands.asking import asking
from tunegate.commands.console import Bar, show, show_json
from tunegate.commands.ledger import ledger_of_suite
from tunegate.exceptions import ConfigError
from tunegate.gates.draw import Draw
from tunegate.serving.serve_check import ServeCheck, serve_check
from tunegate.serving.signature import Serving
from tunegate.serving.words import NAMES, fault_in_words, lines
from tunegate.stats.agreement import Share
from tunegate.suites.suite import Suite


def check_server(options: Namespace, suite: Suite) -> int:
    """Compare a server with a model; returns the exit code."""
    from tunegate.models.open_model import find_model, is_server, open_model
    from tunegate.models.openai_server import OpenAIModel

    if not is_server(options.server):
        raise ConfigError(f"serve-check: expected a server, http://HOST:PORT/v1#MODEL, got {options.server!r}")
    if is_server(options.against):
        raise ConfigError("--against: expected a model on this machine, got a server; name the folder that was gated")
    server = OpenAIModel.from_url(options.server, **asking(options)).check()
    found = find_model(options.against)
    bases = [str(found.folder)] if found.adapters else []
    ledger = ledger_of_suite(options.ledger, suite)
    suspects = [*bases, *(options.suspect or ())]
    request = ServeCheck(server, options.against, suite, options.n, options.seed, ledger, suspects)
    with Bar() as bar:
        # bfloat16 alone would make a median gap of 0.015
        serving, drawn = serve_check(request, partial(open_model, dtype="float32"), bar.say)
    if options.json:
        show_json(as_json(serving, drawn, request))
    else:
        asked_before = f", {drawn.reused} of which gates asked before" if drawn.reused else ""
        show(f"serve-check {suite.name}: {len(drawn.cases)} cases drawn with seed {drawn.seed}{asked_before}")
        show(f"server {server.name}, against {options.against}")
        for line in lines(serving):
            show(line)
    return serving.verdict.exit_code


def as_json(serving: Serving, drawn: Draw, request: ServeCheck) -> dict[str, Any]:
    """The contract of `tunegate serve-check --json`."""
    signature = serving.signature
    return {
        "verdict": NAMES[serving.verdict],
        "exit_code": serving.verdict.exit_code,
        "unclear": serving.unclear,
        "faults": [
            {"kind": fault.kind, "evidence": dict(fault.evidence), "words": fault_in_words(fault)}
            for fault in serving.faults
        ],
        "server": {"name": request.server.name, **asdict(signature.server)},
        "against": request.against,
        "suite": request.suite.name,
        "cases": len(drawn.cases),
        "reused": drawn.reused,
        "seed": drawn.seed,
        "equal_answers": _share(signature.equal),
        "equal_verdicts": _share(signature.equal_verdicts),
        "equal_prompts": _share(signature.prompts),
        "equal_lengths": _share(signature.lengths),
        "runs_on": _share(signature.runs_on),
        "median_gap": signature.median_gap,
        "largest_gap": signature.gaps[-1] if signature.gaps else None,
        "suspects": dict(signature.suspects),
        "finished": dict(signature.finished),
        "longest": signature.longest,
        "pairs": [asdict(pair) for pair in signature.pairs],
    }


def _share(share: Share) -> dict[str, Any] | None:
    return {"count": share.count, "of": share.of, "interval": list(share.interval)} if share.of else None
