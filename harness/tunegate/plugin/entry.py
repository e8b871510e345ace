"""The pytest plugin: `pytest --tunegate-model ./ckpt gates/`. This file holds hooks only.

It collects `*.gate.yaml` files (each a suite file) and functions decorated with `@tunegate.gate("suite.yaml")`. A gate
has one item per drawn case and one deciding item, `gate`, which passes or fails for all of them. The model is asked
once per gate, in batches, and the record is written to `tunegate-runs/` as by `tunegate gate`.

- A missed case is shown as MISSED (`m`), a case that could not be judged as INVALID (`i`). Neither fails; JUnit XML
  shows both as skipped, with the reason. The deciding item fails, unless the gate's verdict is PASS.
- A session that selects only some items of a gate (-k, node ids, --deselect) cannot pass. Its selected cases are asked
  and shown without a record; the deciding item fails as INVALID; if the deciding item is not selected either, the
  session ends with exit code 1 and says so.
- `--lf` after a gate that did not pass runs the whole gate: its cases and its verdict belong together.
- The exit code is decided by the gates, not by pytest's outcomes: xfail, skip or a conftest.py that rewrites reports
  can change how items are shown; the session still fails, unless each selected gate passed. A session with a model (or
  answers) that runs no gate fails too.
- Without a model or answers, gates are skipped with the reason, and all other tests run; a session of gates only then
  ends with pytest's exit code 5. A gate that the command line names is an error instead.
- With pytest-xdist the first worker that needs a gate runs it; the others wait, and read its record.
- A model or a suite that does not exist is reported in one line: exit code 4 (the command line) or 2 (a collected file;
  pytest-xdist ends with 1). A model that cannot be opened makes the gate INVALID.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tunegate.command_parser import SEED
from tunegate.plugin.gate_function import mark_of
from tunegate.plugin.tally import COMPLETE, SELECTED_GATES, SESSION, SKIPPED_GATES, TALLY, Tally, status

WHO_ANSWERS = ("tunegate_model", "tunegate_responses")
ONLY_LISTS = ("collectonly", "showfixtures", "show_fixtures_per_test")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tunegate", "acceptance gates for language models")
    group.addoption("--tunegate-model", metavar="MODEL", help="the model under test, as in `tunegate gate MODEL`")
    group.addoption(
        "--tunegate-responses", metavar="FILE", help='instead of a model: stored answers {"id", "response"}'
    )
    group.addoption(
        "--tunegate-ledger", metavar="FOLDER", help="ledger of asked cases, or none (default: the project's)"
    )
    group.addoption("--tunegate-seed", metavar="N", type=SEED, default=0, help="seed of the draws (default: 0)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally()
    config.pluginmanager.register(config.stash[TALLY])  # without a name, so that `-p no:NAME` cannot remove it
    if any(config.getoption(name) is not None for name in WHO_ANSWERS):
        from tunegate.plugin.gates import check_options

        check_options(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.lower().endswith((".gate.yaml", ".gate.yml")):
        return None
    from tunegate.plugin.items import GateFile

    return GateFile.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType]


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> pytest.Collector | None:
    if mark_of(obj) is None:
        return None
    from tunegate.plugin.items import GateFunction

    return GateFunction.from_parent(collector, name=name, function=obj)  # pyright: ignore[reportUnknownMemberType]


def pytest_collection_finish(session: pytest.Session) -> None:
    if not _only_lists(session.config):
        gates = [item.parent.nodeid for item in session.items if COMPLETE in item.stash and item.parent]
        session.config.stash[TALLY].select(gates)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    complete = item.stash.get(COMPLETE, None)
    if complete is not None and call.when == "call":
        complete(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    return status(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    tally = session.config.stash[TALLY]
    if hasattr(session.config, "workerinput"):  # a worker of pytest-xdist sees all items, the controller all reports
        vars(session.config)["workeroutput"].update({SELECTED_GATES: tally.selected, SKIPPED_GATES: tally.skipped})
        return
    cache: pytest.Cache | None = getattr(session.config, "cache", None)
    if cache is not None:
        tally.remember_failed(cache)
    if session.exitstatus == pytest.ExitCode.OK and not _only_lists(session.config):
        named = [f"--{name.replace('_', '-')}" for name in WHO_ANSWERS if session.config.getoption(name)]
        if not tally.accepts(named):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _only_lists(config: pytest.Config) -> bool:
    return any(config.getoption(name, False) for name in ONLY_LISTS)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[SESSION] = node.config.stash[TALLY].session


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    node.config.stash[TALLY].select(output.get(SELECTED_GATES, []))
    node.config.stash[TALLY].skipped.update(output.get(SKIPPED_GATES, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[TALLY].lines()
    if lines:
        terminalreporter.section("gates")
    for line, good in lines:
        terminalreporter.write_line(line, green=good, red=not good)
