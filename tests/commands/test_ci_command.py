"""`tunegate ci`: a pull request cannot change its own exam, and what CI servers are given to show."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.elsewhere_files import HELD
from tests.support.pull_request import SUITE, Comments, PullRequest, git, github_stub, make_pull_request
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.ci import gate_in_ci
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import GateRunResult

Capture = pytest.CaptureFixture[str]
GATE = ["ci", "gate", "--responses", "answers.jsonl", "--suite", "suites/facts.yaml"]


@pytest.fixture
def pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PullRequest:
    made = make_pull_request(tmp_path)
    monkeypatch.chdir(made.folder)
    return made


# --- the exam ------------------------------------------------------------------------------------------------------


def test_a_pull_request_that_lowers_its_plan_does_not_change_the_exam(pull: PullRequest, capsys: Capture) -> None:
    """Its answers pass its own plan, and miss that of the base, which has other cases too."""
    assert main(["ci", "gate", "--responses", "answers.jsonl", "--suite", "suites/facts.yaml", "--out", "own"]) == 0
    capsys.readouterr()
    for base in (pull.base, "main", "origin/main"):
        out = Path("out") / base
        assert main([*GATE, "--base", base, "--out", str(out)]) == 1
        said = capsys.readouterr().out
        assert "10 of 20, 18 needed" in said
        name = pull.base[:12] if base == pull.base else f"{base} ({pull.base[:12]})"
        changed = "suites/facts.jsonl, suites/facts.yaml, suites/new.yaml"
        told = f"the suites are those of the base {name}; what differs here does not count before it is merged"
        assert f"exam: {told}: {changed}\n" in said
        for file in ("summary.md", "comment.md"):
            assert f"Exam: {told}" in (out / file).read_text()
    assert len(git(pull.folder, "worktree", "list").splitlines()) == 1, "the checkout of the base is removed"


def test_the_gate_works_in_the_checkout_of_the_base(pull: PullRequest) -> None:
    """A pull request could otherwise add the admission of a judge, which is also searched for in the working folder."""
    seen: list[Namespace] = []

    def gate_one(options: Namespace) -> GateRunResult:
        seen.append(options)
        assert not Path.cwd().is_relative_to(pull.folder)
        assert Path("suites/facts.yaml").read_text() == SUITE
        raise ConfigError("seen")

    words = [*GATE, "--base", "main", "--ledger", "kept", "--out", "out"]
    assert gate_in_ci(build_parser().parse_args(words), gate_one) == 2
    [options] = seen
    assert options.responses == str(pull.folder / "answers.jsonl")
    assert options.ledger == str(pull.folder / "kept")
    assert (pull.folder / "out" / "summary.md").is_file()


def test_right_answers_pass_the_exam_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull = make_pull_request(tmp_path, right=18)
    monkeypatch.chdir(pull.folder)
    assert main([*GATE, "--base", pull.base]) == 0


def test_without_a_change_or_a_base_nothing_is_said_of_one(pull: PullRequest, capsys: Capture) -> None:
    git(pull.folder, "fetch", "--quiet", "origin", "main")
    git(pull.folder, "checkout", "--quiet", "FETCH_HEAD", "--", "suites")
    git(pull.folder, "rm", "--quiet", "--force", "suites/new.yaml")
    main([*GATE, "--base", "main", "--out", "out"])
    assert f"exam: the suites are those of the base main ({pull.base[:12]})\n" in capsys.readouterr().out
    main([*GATE, "--out", "own"])
    assert "exam:" not in capsys.readouterr().out
    assert "Exam:" not in Path("own/summary.md").read_text()


def test_the_file_of_a_tool_is_gated_by_the_part_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Its two filters give two sets of answers; none is taken by itself."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(HELD / "questions.jsonl", tmp_path)
    [samples] = (HELD / "lm_eval").glob("samples_facts_open_*.jsonl")
    task = str(HELD / "lm_eval" / "facts_open.yaml")
    assert main(["suite", "import", task, "--filter", "none", "--out", "open.yaml"]) == 0
    words = ["ci", "gate", "--responses", str(samples), "--suite", "open.yaml"]
    assert main(words) == 2
    assert "choose one: --filter first_word or --filter none" in capsys.readouterr().err
    assert main([*words, "--filter", "none", "--json"]) == 1
    [gate] = json.loads(capsys.readouterr().out)["gates"]
    assert gate["gate"] == "open"


def test_a_local_branch_with_the_name_of_the_base_does_not_count(pull: PullRequest) -> None:
    git(pull.folder, "branch", "main")
    assert main([*GATE, "--base", "main"]) == 1


@pytest.mark.parametrize(
    ("suite", "base", "code", "said"),
    [
        (
            "suites/new.yaml",
            "main",
            2,
            "suites/new.yaml: the base main does not have this suite; merge the suite into the base first",
        ),
        ("../clone/suites/facts.yaml", "main", 2, "give a path below the working folder"),
        ("suites/facts.yaml", "--upload-pack=x", 2, "expected a commit or the name of a branch"),
        (
            "suites/facts.yaml",
            "absent",
            2,
            "--base absent: origin has no such branch; give a branch of it, or a commit",
        ),
    ],
)
def test_there_is_no_other_exam(
    pull: PullRequest, capsys: Capture, suite: str, base: str, code: int, said: str
) -> None:
    options = ["--responses", "answers.jsonl", "--suite", suite, f"--base={base}"]
    assert main(["ci", "gate", *options]) == code
    assert said in capsys.readouterr().err


# --- what CI servers show ------------------------------------------------------------------------------------------


def test_it_writes_what_ci_servers_show(pull: PullRequest, capsys: Capture) -> None:
    (pull.folder / "suites" / "broken.yaml").write_text("cases: nowhere.jsonl\nchecks: [exact]\n")
    assert main([*GATE, "--suite", "suites/broken.yaml", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert [(gate["gate"], gate["exit_code"]) for gate in said["gates"]] == [("facts", 0), ("broken", 2)]
    out = pull.folder / "tunegate-report"
    first, second = (out / "annotations.txt").read_text().splitlines()
    assert first.startswith("::notice file=suites/facts.yaml,title=gate facts::")
    assert second.startswith("::error file=suites/broken.yaml,title=gate broken::")
    summary = (out / "summary.md").read_text()
    assert "passed gate facts" in summary
    assert "gate broken" in summary
    assert (out / "comment.md").read_text().startswith("<!-- tunegate gate facts broken -->\n**✅")
    assert 'tunegate_exit_code{gate="facts"} 0' in (out / "metrics.txt").read_text()
    assert ET.parse(out / "facts.xml").getroot().get("tests") == "21"
    assert (out / "facts.html").is_file()
    assert (out / "facts" / "events.jsonl").is_file()


def test_two_suites_of_one_name_are_refused(pull: PullRequest, capsys: Capture) -> None:
    assert main([*GATE, "--suite", "facts.yaml"]) == 2
    assert "two suites have the same file name" in capsys.readouterr().err


# --- the comment ---------------------------------------------------------------------------------------------------


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a step on GitHub; returns a comment."""
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    monkeypatch.setenv("GITHUB_REPOSITORY", "you/project")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    (tmp_path / "comment.md").write_text("<!-- tunegate gate -->\nfirst\n")
    return tmp_path / "comment.md"


def test_the_comment_is_written_once_and_then_replaced(
    step: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A person's comment with the same mark, and 150 others, are left alone."""
    others = [{"id": n, "user": {"type": "User"}, "body": "<!-- tunegate gate -->"} for n in range(150)]
    with github_stub(Comments([*others])) as comments:
        monkeypatch.setenv("GITHUB_API_URL", comments.url)
        assert main(["ci", "comment", str(step)]) == 0
        step.write_text("<!-- tunegate gate -->\nsecond\n")
        assert main(["ci", "comment", str(step), "--json"]) == 0
    assert comments.all[:150] == others
    assert [one["body"] for one in comments.all[150:]] == ["<!-- tunegate gate -->\nsecond\n"]
    assert comments.tokens == {"Bearer secret-token"}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["replaced"] is True


def test_a_token_that_may_not_comment_is_named(step: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with github_stub(Comments(refuse=403)) as comments:
        monkeypatch.setenv("GITHUB_API_URL", comments.url)
        assert main(["ci", "comment", str(step)]) == 3
    said = capsys.readouterr().err
    assert "answered 403; the job needs `permissions: pull-requests: write`" in said
    assert "secret-token" not in said


def test_there_is_no_comment_outside_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (tmp_path / "comment.md").write_text("<!-- tunegate gate -->\n")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert main(["ci", "comment", str(tmp_path / "comment.md")]) == 2
    assert "GITHUB_TOKEN" in capsys.readouterr().err
    (tmp_path / "other.md").write_text("text")
    assert main(["ci", "comment", str(tmp_path / "other.md")]) == 2
