"""What is the user's own, and what the files of all others may not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunegate.exceptions import ConfigError
from tunegate.trust.allowed import VARIABLE, Trust, refusals, refuse, trusting, user_trust
from tunegate.trust.settings import read_settings, settings_place
from tunegate.trust.wants import NOTHING, Code, Contact, Host, Wants, all_of, host_of, outside_of
from tunegate_suites import CHECKS

OPENAI = Contact(Host("https", "api.openai.com", 443), "judge.server.base_url", "OPENAI_API_KEY")
EVIL = Contact(
    Host("https", "evil.example", 443), "judge.server.base_url", "OPENAI_API_KEY", "judge.server.api_key_env"
)
LOCAL = Contact(Host("http", "127.0.0.1", 8080), "judge.server.base_url", "JUDGE_KEY")


def user(home: Path, working: Path, settings: str = "", **more: str) -> Trust:
    """What a user allows who works in a folder, with these settings."""
    if settings:
        place = home / ".config" / "tunegate" / "settings.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(settings)
    return user_trust({"HOME": str(home), **more}, working)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "project" / "suites").mkdir(parents=True)
    (tmp_path / "home" / "downloads").mkdir()
    return tmp_path / "home"


# --- whose files -----------------------------------------------------------------------------------------------------


def test_the_working_folder_and_what_is_below_it_is_the_users_own(home: Path) -> None:
    trust = user(home, home / "project")
    assert trust.trusts(home / "project" / "suites" / "facts.yaml")
    assert not trust.trusts(home / "downloads" / "facts.yaml")
    assert not trust.trusts(home / "projects-of-others")
    assert not trust.trusts(home / "project" / ".." / "downloads" / "facts.yaml")


def test_the_home_folder_is_no_project(home: Path) -> None:
    """Downloads are below it."""
    for working in (home, home.parent, Path("/")):
        assert not user(home, working).trusts(home / "downloads" / "facts.yaml")


def test_the_root_is_no_project_where_there_is_no_home() -> None:
    assert not user_trust({}, Path("/")).trusts(Path("/srv/facts.yaml"))


def test_a_link_that_leads_out_widens_nothing(home: Path) -> None:
    (home / "downloads" / "facts.yaml").write_text("")
    (home / "project" / "facts.yaml").symlink_to(home / "downloads" / "facts.yaml")
    (home / "project" / "more").symlink_to(home / "downloads")
    trust = user(home, home / "project")
    assert not trust.trusts(home / "project" / "facts.yaml")
    assert not trust.trusts(home / "project" / "more" / "facts.yaml")


def test_a_link_to_the_project_is_the_project(home: Path) -> None:
    (home / "link").symlink_to(home / "project")
    assert user(home, home / "link").trusts(home / "project" / "facts.yaml")


def test_what_ships_with_tunegate_is_trusted(home: Path) -> None:
    import tunegate_suites

    shipped = Path(tunegate_suites.__file__).parent
    assert user(home, home / "project").trusts(shipped / "data" / "piqa.yaml")
    assert CHECKS


def test_folders_of_the_variable_and_of_the_settings(home: Path, tmp_path: Path) -> None:
    named = os.pathsep.join([str(home / "downloads"), "", str(tmp_path / "srv")])
    trust = user(home, home / "project", **{VARIABLE: named})
    assert trust.trusts(home / "downloads" / "a.yaml")
    assert trust.trusts(tmp_path / "srv" / "a.yaml")
    assert user(home, home / "project", f"trust: [{tmp_path}/srv]").trusts(tmp_path / "srv" / "a.yaml")


def test_a_flag_counts_while_the_command_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/before")
    with trusting([str(home / "downloads")]):
        assert os.environ[VARIABLE] == f"/before{os.pathsep}{home / 'downloads'}"
        assert user_trust(os.environ, home / "project").trusts(home / "downloads" / "a.yaml")
    assert os.environ[VARIABLE] == "/before"
    monkeypatch.delenv(VARIABLE)
    with trusting([str(home)]):
        pass
    assert VARIABLE not in os.environ
    with pytest.raises(ConfigError, match="--trust nowhere: no such folder"), trusting(["nowhere"]):
        pass


# --- settings --------------------------------------------------------------------------------------------------------


def test_where_the_settings_are() -> None:
    assert settings_place({"HOME": "/home/me"}) == Path("/home/me/.config/tunegate/settings.yaml")
    assert settings_place({"HOME": "/home/me", "XDG_CONFIG_HOME": "/etc/me"}) == Path("/etc/me/tunegate/settings.yaml")
    relative = {"HOME": "/home/me", "XDG_CONFIG_HOME": "config"}  # of the working folder, so a stranger may have it
    assert settings_place(relative) == Path("/home/me/.config/tunegate/settings.yaml")


def test_no_settings_allow_nothing(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "none.yaml").model_dump() == {"trust": [], "hosts": [], "key_variables": {}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("trusts: []", "unknown key.*did you mean 'trust'"),
        ("trust: [suites]", r"settings.yaml:1: trust\[0\]: expected an absolute path"),
        ("hosts: ['https://a.example']", "expected the name of a server"),
        ("hosts: ['*']", "expected the name of a server"),
        ("key_variables: {A: ['a b']}", r"key_variables.A\[0\]: expected the name of a server"),
        ("key_variables: [A]", "key_variables"),
    ],
)
def test_wrong_settings_are_an_error(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=fault):
        read_settings(tmp_path / "settings.yaml")


# --- what is refused -------------------------------------------------------------------------------------------------


def wants(*contacts: Contact, **more: tuple[Code, ...]) -> Wants:
    return Wants(contacts=contacts, **more)


def test_a_stranger_runs_nothing(home: Path) -> None:
    file, code = home / "downloads" / "a.yaml", home / "downloads" / "metrics.py"
    asked = wants(runs=(Code("metrics:f", "python.function", code),))
    [line] = refusals(asked, file, user(home, home / "project"))
    folder = home / "downloads"
    assert line == (
        f"python.function: wants to run {code}, but you do not trust {folder}; to allow it: --trust {folder}, or "
        f"TUNEGATE_TRUST={folder}"
    )
    assert refusals(asked, file, user(home, home / "project", f"trust: [{folder}]")) == []


def test_a_stranger_does_not_run_what_is_installed_either(home: Path) -> None:
    [line] = refusals(
        wants(runs=(Code("os:system", "python.function", beside=False),)), home / "a.yaml", user(home, home / "project")
    )
    assert "wants to run os:system" in line


def test_the_users_own_file_runs_its_own_code_and_not_that_behind_a_link(home: Path) -> None:
    file, beside, away = home / "project" / "a.yaml", home / "project" / "m.py", home / "downloads" / "m.py"
    away.write_text("")
    trust = user(home, home / "project")
    assert refusals(wants(runs=(Code("m:f", "python.function", beside),)), file, trust) == []
    beside.symlink_to(away)
    [line] = refusals(wants(runs=(Code("m:f", "python.function", beside),)), file, trust)
    assert f"you do not trust {home / 'downloads'}" in line
    assert refusals(wants(runs=(Code("m:f", "python.function", Path("/usr/lib/m.py"), False),)), file, trust) == []


def test_a_stranger_contacts_this_machine_only(home: Path) -> None:
    file, trust = home / "downloads" / "a.yaml", user(home, home / "project")
    there = Contact(Host("https", "judge.example.org", 443), "judge.server.base_url")
    assert refusals(wants(Contact(LOCAL.host, "judge.server.base_url")), file, trust) == []
    [line] = refusals(wants(there), file, trust)
    assert line.startswith("judge.server.base_url: wants to contact https://judge.example.org, but you do not trust ")
    assert line.endswith(f"or `hosts: [judge.example.org]` in {trust.settings}")
    assert refusals(wants(there), file, user(home, home / "project", "hosts: [Judge.Example.org]")) == []
    assert refusals(wants(there), home / "project" / "a.yaml", trust) == []


def test_a_key_goes_only_where_the_user_sends_it(home: Path) -> None:
    own, stranger = home / "project" / "a.yaml", home / "downloads" / "a.yaml"
    trust = user(home, home / "project")
    assert refusals(wants(OPENAI, LOCAL), own, trust) == []
    [line] = refusals(wants(EVIL), own, trust)
    assert line == (
        "judge.server.api_key_env: wants to send the key in OPENAI_API_KEY to https://evil.example, but you have not "
        f"allowed this; to allow it: `key_variables: {{OPENAI_API_KEY: [evil.example]}}` in {trust.settings}"
    )
    assert len(refusals(wants(EVIL), stranger, trust)) == 2  # the server, and the key
    for contact in (OPENAI, LOCAL):
        assert any("wants to send the key" in line for line in refusals(wants(contact), stranger, trust))
    paired = user(home, home / "project", "key_variables: {OPENAI_API_KEY: [evil.example], JUDGE_KEY: [127.0.0.1]}")
    assert refusals(wants(EVIL, LOCAL), stranger, paired) == []  # a server that gets a key may be contacted
    other = Contact(EVIL.host, "at", "ANOTHER_KEY")
    assert len(refusals(wants(other), own, paired)) == 1


def test_a_trusted_folder_is_like_the_project_and_pairs_no_key(home: Path) -> None:
    trust = user(home, home / "project", f"trust: [{home}/downloads]")
    assert len(refusals(wants(EVIL), home / "downloads" / "a.yaml", trust)) == 1


def test_the_users_own_python_code_may_do_what_it_says(home: Path) -> None:
    assert refusals(wants(EVIL, runs=(Code("os:system", "python"),)), None, user(home, home / "project")) == []


def test_one_line_says_how_many_there_are(home: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"2 things are refused: \(1\) .*wants to contact .*; \(2\) .*wants to send the key"
    ) as told:
        refuse(wants(EVIL), home / "downloads" / "a.yaml", user(home, home / "project"))
    assert "\n" not in str(told.value)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example/v1", "https://a.example"),
        ("HTTPS://A.Example./v1", "https://a.example"),
        ("http://me:pw@a.example:8080/v1?key=1#x", "http://a.example:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("http://127.0.0.1@evil.example/v1", "http://evil.example"),
    ],
)
def test_the_server_of_an_address(url: str, host: str) -> None:
    assert str(host_of(url)) == host


def test_what_two_checks_want_is_named_once() -> None:
    both = all_of([wants(EVIL), wants(EVIL, LOCAL), NOTHING])
    assert both.contacts == (EVIL, LOCAL)
    assert both.key_variables == ("OPENAI_API_KEY", "JUDGE_KEY")
    assert both.to_json()["contact"][0]["host"] == "evil.example"


def test_files_outside_by_their_real_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "a" / "link.csv").symlink_to(tmp_path / "b.csv")
    reads = (tmp_path / "a" / "own.csv", tmp_path / "a" / "link.csv", tmp_path / "b.csv")
    assert outside_of(tmp_path / "a", reads) == reads[1:]
