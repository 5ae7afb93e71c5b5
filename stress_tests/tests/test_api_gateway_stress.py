"""The API gateway's load and what is said of it: requests come when they are due, limits are told from accidents."""

import argparse
import asyncio
import copy
from argparse import Namespace
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from stress_tests.api_gateway_load import LOST, Connections, Exhausted, at_rate, exhaust
from stress_tests.api_gateway_test import judged, limit_figures, rates, report_of, step_figures
from stress_tests.bench_api_load import Answer, get
from stress_tests.reporting import report_page

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
LIMIT = 7


class Server:
    """Answers ``LIMIT`` requests, refuses the next ``refusals``, and answers again; ``hangs_up`` after each answer. To
    the requests whose numbers are in ``fails`` it answers 503, to those in ``silent`` nothing."""

    def __init__(self, *, refusals: int = 0, hangs_up: bool = False, wait: str = "0") -> None:
        self.refusals, self.hangs_up, self.wait = refusals, hangs_up, wait
        self.requests = 0
        self.fails: set[int] = set()
        self.silent: set[int] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.requests in self.silent:
                    break
                refused = LIMIT < self.requests <= LIMIT + self.refusals
                head = f"429 Too Many\r\nRetry-After: {self.wait}" if refused else "200 OK"
                head = "503 Unavailable" if self.requests in self.fails else head
                writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
                if self.hangs_up:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[Server, Connections]]:
    behind = Server()
    listening = await asyncio.start_server(behind.serve, "127.0.0.1", 0)
    connections = Connections(listening.sockets[0].getsockname())
    yield behind, connections
    connections.close()
    listening.close()


def ask(number: int) -> tuple[str, bytes]:
    return f"r{number}", get("127.0.0.1", "/")


async def test_every_request_is_sent_and_answered(server: tuple[Server, Connections]) -> None:
    behind, connections = server
    answers = await at_rate(connections, ask, rate=500, seconds=0.1, mark=b"")
    assert [answer.name for answer in answers] == [f"r{number}" for number in range(50)]
    assert step_figures(500, answers)["statuses"] == {"200": 50}
    assert behind.requests == 50


async def test_connection_that_the_server_closed_is_not_used_again(server: tuple[Server, Connections]) -> None:
    behind, connections = server
    behind.hangs_up = True
    for number in range(3):
        assert (await connections.request(*ask(number))).status == 200
        await asyncio.sleep(0)
        while not all(kept.is_closed for kept in connections._free):
            await asyncio.sleep(0)
    assert connections.opened == 3


async def test_no_answer_is_told_as_lost() -> None:
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    answer = await Connections(listening.sockets[0].getsockname()).request(*ask(1))
    assert answer.status == LOST
    listening.close()


async def test_limit_is_met_counted_and_waited_for(server: tuple[Server, Connections]) -> None:
    behind, connections = server
    behind.refusals = 5
    met = await exhaust(connections, lambda number: ask(number)[1], most=100)
    assert (met.accepted, len(met.refusals), met.again) == (LIMIT, 5, True)
    assert {answer.retry_after for answer in met.refusals} == {0}


async def test_what_failed_or_was_lost_before_the_limit_was_not_let_in(server: tuple[Server, Connections]) -> None:
    behind, connections = server
    behind.refusals, behind.fails, behind.silent = 5, {2}, {4}
    met = await exhaust(connections, lambda number: ask(number)[1], most=100)
    assert (met.accepted, len(met.refusals), met.again) == (LIMIT - 2, 5, True)


@pytest.mark.parametrize("what", ["fails", "silent"])
async def test_one_that_failed_or_was_lost_after_the_wait_was_not_let_in_again(
    server: tuple[Server, Connections], what: str
) -> None:
    behind, connections = server
    behind.refusals = 5
    setattr(behind, what, {LIMIT + 6})
    met = await exhaust(connections, lambda number: ask(number)[1], most=100)
    assert (met.accepted, len(met.refusals), met.again) == (LIMIT, 5, False)


async def test_without_a_limit_it_stops_by_itself(server: tuple[Server, Connections]) -> None:
    met = await exhaust(server[1], lambda number: ask(number)[1], most=20)
    assert (met.accepted, met.refusals, met.again) == (20, [], False)


@pytest.mark.parametrize("word", ["0", "10,5", "2000", "five", ""])
def test_rates_are_bounded_and_rise(word: str) -> None:
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        rates(word)


MODEL_S = 0.3


def answers(count: int, status: int = 200) -> list[Answer]:
    return [Answer("read", status, number / 1000, number / 1000) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("count", "times"),
    [
        (0, {"p50": None, "p95": None, "p99": None, "max": None}),
        (19, {"p50": 10.0, "p95": None, "p99": None, "max": 19.0}),
        (20, {"p50": 10.0, "p95": 19.0, "p99": None, "max": 20.0}),
        (100, {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}),
    ],
)
def test_percentiles_of_too_few_answers_are_left_out(count: int, times: dict[str, float | None]) -> None:
    assert step_figures(2, [*answers(count), *answers(100, status=503)])["end_ms"] == times


def step(rate: float, statuses: dict[str, int], p95: float) -> dict[str, Any]:
    times = {"p50": p95 / 2, "p95": p95, "p99": p95, "max": p95}
    return {"rate": rate, "sent": sum(statuses.values()), "statuses": statuses, "first_ms": times, "end_ms": times}


def good() -> dict[str, Any]:
    met = {
        "limit": 100, "accepted": 100, "seconds": 2.0, "refused": 5, "waits_named": 5, "longest_wait_s": 58,
        "again": True, "statuses": {"200": 100, "429": 5},
    }  # fmt: skip
    return {
        "reads": [step(20, {"200": 200}, 30.0), step(50, {"200": 500}, 90.0)],
        "asks": {"chat/send, JSON": [step(2, {"200": 20}, 400.0)], "/v1, whole": [step(2, {"200": 20}, 420.0)]},
        "limits": {
            "met": [{"name": "requests of a person"} | met, {"name": "questions of a person"} | met],
            "bystander": step(1, {"200": 60}, 20.0),
        },
    }


def test_too_few_answers_tell_no_p95() -> None:
    few = step_figures(2, answers(8))
    found = good() | {"reads": [few], "asks": {"/v1, whole": [few]}}
    assert [check.name for check in judged(found, MODEL_S) if check.verdict == "unclear"] == [
        "reads at 2/s, P95", "added by /v1, whole at 2/s, P95",
    ]  # fmt: skip
    assert "2 reads a second: max 8 ms; /v1, whole 2/s: max 8 ms" in report_of(found, Namespace(), {}, MODEL_S).headline


def test_nothing_but_lost_requests_reach_nothing() -> None:
    lost = step_figures(20, answers(200, status=LOST))
    found = good() | {"reads": [lost]}
    assert missed(found) == ["requests answered with 200", "answers of 5xx, or none at all", "reads at 20/s, P95"]
    assert "20 reads a second: no answer" in report_of(found, Namespace(), {}, MODEL_S).headline


def doctored(change: Any) -> dict[str, Any]:
    found = copy.deepcopy(good())
    change(found)
    return found


def missed(found: dict[str, Any]) -> list[str]:
    return [check.name for check in judged(found, MODEL_S) if check.verdict != "reached"]


def test_a_good_run_reaches_everything() -> None:
    assert missed(good()) == []
    page = report_page(report_of(good(), Namespace(callers=50), MACHINE, MODEL_S))
    assert "50 reads a second: P95 90 ms" in page
    assert "Times are judged at 20 reads and 2 questions a second alone." in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda f: f["reads"][1].update(statuses={"200": 499, "503": 1}),
         ["requests answered with 200", "answers of 5xx, or none at all"]),
        (lambda f: f["reads"][1].update(statuses={"200": 499, "0": 1}),
         ["requests answered with 200", "answers of 5xx, or none at all"]),
        (lambda f: f["reads"][1].update(statuses={"200": 499, "429": 1}), ["requests answered with 200"]),
        (lambda f: f["reads"][0]["end_ms"].update(p95=51.0), ["reads at 20/s, P95"]),
        (lambda f: f["asks"]["/v1, whole"][0]["end_ms"].update(p95=460.0), ["added by /v1, whole at 2/s, P95"]),
        (lambda f: f["limits"]["met"][0]["statuses"].update({"0": 1}), ["answers of 5xx, or none at all"]),
        (lambda f: f["limits"]["met"][0].update(accepted=101), ["requests of a person: let in, then 429"]),
        (lambda f: f["limits"]["met"][1].update(accepted=99), ["questions of a person: let in, then 429"]),
        (lambda f: f["limits"]["met"][0].update(waits_named=4),
         ["requests of a person: refusals that say how long to wait"]),
        (lambda f: f["limits"]["met"][0].update(again=False), ["requests of a person: let in again after that"]),
        (lambda f: f["limits"]["bystander"].update(statuses={"200": 59, "429": 1}),
         ["somebody else's requests meanwhile"]),
        (lambda f: f["limits"]["met"][0].update(seconds=61.0), ["requests of a person: let in"]),
    ],
)  # fmt: skip
def test_what_went_wrong_is_missed(change: Any, names: list[str]) -> None:
    assert missed(doctored(change)) == names


def test_times_of_no_answer_are_missed_and_no_zero() -> None:
    found = doctored(lambda f: (
        f["reads"].__setitem__(0, step_figures(20, [Answer("me", 503, 0.001, 0.001)])),
        f["asks"].update({"/v1, whole": [step_figures(2, [Answer("ask", 503, 0.001, 0.001)])]}),
    ))  # fmt: skip
    assert {"reads at 20/s, P95", "added by /v1, whole at 2/s, P95"} <= set(missed(found))
    assert "/v1, whole 2/s: no answer" in report_page(report_of(found, Namespace(), MACHINE, MODEL_S))


def test_waits_that_are_none_are_not_counted() -> None:
    refusals = [Answer("limit", 429, 0.1, 0.1, wait) for wait in (None, 0, 30, 61)]
    met = Exhausted(1.0, refusals, True)
    assert limit_figures("x", 3, met)["waits_named"] == 1
