"""Several servers as one model: nothing is lost and nothing is asked twice, whatever becomes of a server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.pool_servers import PoolServer, pool_servers, spec_of
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models import shared_queue
from tunegate.models.back_pressure import Window
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.open_model import open_model
from tunegate.models.openai_client import Server
from tunegate.models.pool_probe import PROMPTS
from tunegate.models.shared_queue import Endpoint

pytest.importorskip("openai")

SETTINGS = GenerationSettings(max_new_tokens=7)


def cases_of(n: int) -> list[Case]:
    return [Case(f"c{number}", f"question {number}") for number in range(n)]


def answers(model: Any, cases: Sequence[Case]) -> list[Response]:
    """The answers in the order of the cases, asked block by block as the runner does."""
    found: dict[int, Response] = {}
    for start in range(0, len(cases), model.block_size):
        for index, response in model.generate(cases[start : start + model.block_size], SETTINGS):
            assert start + index not in found
            found[start + index] = response
    return [found[index] for index in range(len(cases))]


def completed(servers: Sequence[PoolServer]) -> Counter[str]:
    return sum((one.completed for one in servers), Counter[str]())


def test_the_cases_of_a_killed_server_go_to_the_others_and_none_is_lost_or_asked_twice():
    """1,000 cases; of three servers one is killed in the middle and one is slow."""
    dying, slow, fast = PoolServer(seconds=0.005), PoolServer(seconds=0.2), PoolServer(seconds=0.005)
    dying.before = lambda question, number: dying.kill() if number == 100 else None
    cases = cases_of(1000)
    with pool_servers(dying, slow, fast) as servers:
        found = answers(open_model(spec_of(servers)), cases)
    assert [response.text for response in found] == [f"re: {case.prompt}" for case in cases]
    assert all(response.error is None for response in found)
    whole = completed(servers)
    assert set(whole) == {case.prompt for case in cases}
    assert max(whole.values()) == 1
    by = Counter(response.by for response in found)
    assert {name: by[name] for name in by} == {one.url: len(one.completed) for one in servers}
    assert min(by.values()) > 0
    assert by[slow.url] < by[fast.url]
    again = [response for response in found if response.tries > 1]
    assert 0 < len(again) <= 9  # those that were under way at the server that was killed
    assert all(response.by != dying.url for response in again)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is looked for less long."""
    monkeypatch.setattr(shared_queue, "RETURNS_S", (0.0, 0.2, 0.4))


def test_two_servers_have_twice_as_many_requests_under_way_as_one():
    """The short form of `python -m tests.bench servers`: nothing is timed."""
    both = threading.Barrier(16)
    waits = lambda question, number: both.wait(60) if number < 8 else None  # noqa: E731
    with pool_servers(PoolServer(before=waits), PoolServer(before=waits)) as servers:
        found = answers(open_model(spec_of(servers)), cases_of(64))
    assert [one.most_at_once for one in servers] == [8, 8]
    assert not any(response.error for response in found)


def test_a_server_that_has_too_many_requests_is_sent_fewer_and_none_is_lost():
    tight, wide = PoolServer(seconds=0.01, most=2), PoolServer(seconds=0.01)
    cases = cases_of(200)
    with pool_servers(tight, wide) as servers:
        model = open_model(spec_of(servers))
        found = answers(model, cases)
    assert [response.text for response in found] == [f"re: {case.prompt}" for case in cases]
    assert set(completed(servers).values()) == {1}
    assert 0 < tight.refused < 20  # without back-pressure, three of four requests would be refused
    assert sum(response.tries - 1 for response in found) == tight.refused


@pytest.mark.slow
def test_a_server_that_answers_no_case_in_time_is_given_up_and_none_is_lost():
    """It answers the probe, so it is let in again, but not for ever."""
    hangs, sound = PoolServer(before=lambda question, number: time.sleep(30)), PoolServer()
    cases = cases_of(200)
    with pool_servers(hangs, sound) as servers:
        found = answers(open_model(spec_of(servers), asking={"timeout_s": 8.0}), cases)
    assert [response.text for response in found] == [f"re: {case.prompt}" for case in cases]
    assert all(response.by == sound.url for response in found)
    assert max(response.tries for response in found) == 2
    assert len(hangs.asked) <= 8 + 4 + 2 + 1


def test_without_any_server_left_the_cases_have_no_answer_with_the_cause():
    def dies(question: str, number: int) -> None:
        if number == 10:
            one.kill()
            two.kill()

    one, two = PoolServer(before=dies), PoolServer()
    with pool_servers(one, two) as servers:
        found = answers(open_model(spec_of(servers)), cases_of(48))
    lost = [response for response in found if response.error is not None]
    assert lost
    assert {response.fault for response in lost} == {Fault.NO_REPLY}
    assert all("127.0.0.1" in str(response.error) for response in lost)
    assert len(lost) + len(completed(servers)) == 48


@pytest.mark.parametrize(("weights", "asked_again"), [(0.0, True), (2.0, False)])
def test_a_server_that_is_back_is_asked_again_only_if_it_serves_the_same_model(
    weights: float, asked_again: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared_queue, "RETURNS_S", [0.1] * 600)
    one, two = PoolServer(), PoolServer()

    def dies(question: str, number: int) -> None:
        if number == 20:
            one.kill()
            one.weights, one.probes = weights, 0
            threading.Thread(target=starts_again).start()

    def starts_again() -> None:
        """Once all its requests have failed: a real server takes longer to load its model."""
        while not model.endpoints[0].out or model.endpoints[0].under_way:
            time.sleep(0.01)
        one.start()

    def waits(question: str, number: int) -> None:
        """Until the other has answered the probe again: most cases are left for it."""
        ends = time.monotonic() + 60
        while number >= 60 and one.probes < len(PROMPTS) and time.monotonic() < ends:
            time.sleep(0.01)

    one.before, two.before = dies, waits
    with pool_servers(one, two) as servers:
        model: Any = open_model(spec_of(servers))
        found = answers(model, cases_of(512))
    assert [response.text for response in found] == [f"re: question {number}" for number in range(512)]
    assert (one.completed.total() > 40) is asked_again


def test_one_server_that_does_not_answer_at_first_leaves_its_cases_to_the_others():
    one, two = PoolServer(), PoolServer()
    with pool_servers(one, two) as servers:
        spec = spec_of(servers)
        two.kill()
        model: Any = open_model(spec)
        assert not any(response.error for response in answers(model, cases_of(20)))
        assert model.notes == (f"{two.url}: no server answers; its cases go to the others",)
        assert model.servers[1] == {"server": two.url, "absent": True}
        one.kill()
        with pytest.raises(ConfigError, match=f"{one.url}: no server answers at this address.*{two.url}: no server"):
            open_model(spec)


def test_a_slow_server_gets_no_case_that_the_others_will_have_answered_sooner():
    def taken(waiting: int) -> int | None:
        """What the slow server would be sent next."""
        endpoints = [Endpoint(Server("http://127.0.0.1:1/v1"), Window(8), seconds=seconds) for seconds in (1.0, 10.0)]
        how: Any = None  # nothing is sent
        batch = shared_queue._Batch(endpoints, range(waiting), how, lambda index, said: None, threading.Event())
        batch.waiting.extend(range(waiting))
        return batch._next_for(1)

    assert taken(71) is None  # 8 a second: after 8.9 s the last begins, which takes one more
    assert taken(73) == 0


@given(
    seconds=st.lists(st.sampled_from([None, 0.01, 1.0, 60.0]), min_size=2, max_size=3),
    waiting=st.integers(1, 3),
    failed=st.dictionaries(st.integers(0, 2), st.lists(st.integers(0, 2), max_size=4)),
    out=st.sets(st.integers(0, 2)),
)
@example(seconds=[0.01, 60.0], waiting=1, failed={0: [0]}, out=set())
def test_while_nothing_is_under_way_some_server_takes_a_case(
    seconds: list[float | None], waiting: int, failed: dict[int, list[int]], out: set[int]
):
    """Otherwise the gate would wait for ever: a fast server had refused the last case, and a slow one left it to it."""
    server = Server("http://127.0.0.1:1/v1")
    endpoints = [Endpoint(server, Window(8), seconds=one, out=place in out) for place, one in enumerate(seconds)]
    how: Any = None  # nothing is sent
    batch = shared_queue._Batch(endpoints, range(waiting), how, lambda index, said: None, threading.Event())
    batch.waiting.extend(range(waiting))
    batch.failed_at.update(
        {question: [at for at in places if at < len(seconds)] for question, places in failed.items()}
    )
    inside = [place for place, one in enumerate(endpoints) if not one.out]
    assert not inside or any(batch._next_for(place) is not None for place in inside)


# --- the probe -----------------------------------------------------------------------------------------------------


def thinks(reply: Any) -> None:
    """Begin each answer with a token that any reasoning model is certain of."""
    reply["choices"][0]["logprobs"]["content"].insert(0, {"top_logprobs": [{"token": "<think>", "logprob": -1e-5}]})


def only_certain(reply: Any) -> None:
    """Tell log-probabilities after the choice, as some servers do at temperature 0."""
    reply["choices"][0]["logprobs"] = {"content": [{"top_logprobs": [{"token": "A", "logprob": 0.0}]}]}


LIARS = [
    (PoolServer(weights=0.5), "other weights: the first token's log-probability is 0.50 apart in the median"),
    (PoolServer(template="[{}]"), "another chat template: 8 of 8 prompts differ"),
    (PoolServer(template="[{}]", tells_prompts=False), "another chat template or tokenizer: a prompt has 34 tokens"),
    (PoolServer(context=2048), "another context: 2048 tokens, not 4096"),
    (
        PoolServer(weights=0.5, gives_log_probabilities=False),
        "other weights: 8 of 8 short answers differ, and there are no log-probabilities that tell more",
    ),
    (PoolServer(weights=0.5, tells=thinks), "other weights: the first token's log-probability is 0.50 apart in the"),
    (PoolServer(weights=0.5, tells=only_certain), "other weights: 8 of 8 short answers differ, and there are no"),
]


@pytest.mark.parametrize(("liar", "words"), LIARS, ids=lambda value: "" if isinstance(value, PoolServer) else value)
def test_a_server_that_disagrees_is_named_with_how(liar: PoolServer, words: str) -> None:
    same = PoolServer(tells=liar.tells), PoolServer(tells=liar.tells)
    with pool_servers(same[0], liar, same[1]) as servers, pytest.raises(ConfigError) as refused:
        open_model(spec_of(servers))
    message = str(refused.value)
    assert f"{liar.url} has {words}" in message
    assert message.count("http://") == 2  # the liar, and one of those that agree
    assert "\n" not in message
    assert not any(one.asked for one in servers)


def test_the_order_of_servers_makes_no_other_model():
    """Otherwise a gate could be tried again, with the servers the other way round, as if for the first time."""
    with pool_servers(PoolServer(), PoolServer()) as servers:
        assert open_model(spec_of(servers)).name == open_model(spec_of(servers[::-1])).name


def test_a_server_that_replies_to_no_prompt_is_not_asked_them_all():
    """Each would be waited for: a minute, by default, and four times."""

    def hangs_up(reply: Any) -> None:
        raise ConnectionAbortedError

    silent = PoolServer(tells=hangs_up)
    with pool_servers(silent, PoolServer()) as servers:
        model: Any = open_model(spec_of(servers), asking={"max_retries": 0})
    assert [one.get("absent", False) for one in model.servers] == [True, False]
    assert silent.probes < len(PROMPTS)


def test_servers_that_are_gone_before_they_are_compared_are_not_called_different():
    def hangs_up(reply: Any) -> None:
        raise ConnectionAbortedError

    with pool_servers(PoolServer(tells=hangs_up), PoolServer(tells=hangs_up)) as servers:
        with pytest.raises(ConfigError, match="no server replies any more; start them and run this again"):
            open_model(spec_of(servers), asking={"max_retries": 0})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http://A.example/v1#m,http://a.example:80/v1/#m", "model http://a.example/v1#m: the server is named twice"),
        ("http://me:pw1234@a.example/v1#m,http://a.example/v1?key=2#m", "the server is named twice"),
        ("http://a.example/v1#m,http://b.example/v1#m,", "a comma in a model's name; several servers are separated by"),
        ("http://a.example/v1#m,b.example/v1#m", "a comma in a model's name; several servers are separated by"),
    ],
)
def test_a_list_of_servers_that_says_something_else_is_refused(spec: str, words: str):
    """The counts of two servers under one name would be those of both; one server must not answer for two."""
    with pytest.raises(ConfigError, match=words) as refused:
        open_model(spec)
    assert "pw1234" not in str(refused.value)


def test_what_cannot_be_a_number_of_tokens_is_not_told():
    """Such numbers cannot be compared: 10**400 is too large to be written."""

    def boasts(reply: Any) -> None:
        reply["usage"]["prompt_tokens"] = 10**400

    with pool_servers(PoolServer(), PoolServer(tells=boasts, context=10**400), PoolServer(context=True)) as servers:
        assert [one["context"] for one in open_model(spec_of(servers)).servers] == [4096, None, None]


def test_a_large_context_is_written_in_full():
    with pool_servers(PoolServer(context=1048576), PoolServer(context=1048577)) as servers:
        with pytest.raises(ConfigError, match="another context: 1048577 tokens, not 1048576"):
            open_model(spec_of(servers))


def test_rounding_is_not_a_difference():
    """docs/serving.md: the same weights in 8 bits or more are at most 0.1 apart."""
    with pool_servers(PoolServer(), PoolServer(weights=0.09)) as servers:
        assert not any(response.error for response in answers(open_model(spec_of(servers)), cases_of(8)))


def test_servers_that_cannot_be_compared_are_refused():
    silent = {"gives_log_probabilities": False, "answer": lambda question: ""}
    with pool_servers(PoolServer(**silent), PoolServer(**silent)) as servers:
        with pytest.raises(ConfigError, match="no server answers the prompts that show whether"):
            open_model(spec_of(servers))
