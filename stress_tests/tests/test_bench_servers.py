"""What is said of servers: rounds put together, a good run reaches everything, one that was changed misses that."""

import copy
import os
import runpy
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any, cast

import pytest

from chatbot_project.lib import threads
from stress_tests.bench_cpu import biggest, rss_bytes, tree_rss_bytes
from stress_tests.bench_servers import SERVERS, installed, servers
from stress_tests.bench_servers_report import judged, order_of, report_of, together
from stress_tests.bench_servers_run import per_socket, requests_to
from stress_tests.reporting import report_page, report_text

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
MS = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
OPTIONS = Namespace(servers=["uvicorn", "daphne", "granian"], rounds=2, page_rate=20.0, read_rate=60.0, slow=1)
VERSIONS = {"uvicorn": "1", "daphne": "2"}
END = {"sockets": 100, "told": 100, "closed": {"1012": 100}, "closed_s": 10.0, "ended_s": 11.0, "exit_code": 0}
HOW = {name: server.how for name, server in SERVERS.items()}


def asked(cpu_s: float, times_s: list[float]) -> dict[str, Any]:
    return {"sent": len(times_s), "statuses": {"200": len(times_s)}, "times_s": times_s, "cpu_s": cpu_s}


def leg(**changes: Any) -> dict[str, Any]:
    return {
        "page": asked(0.4, [0.01] * 40), "read": asked(0.2, [0.004] * 50),
        "mib_ready": 180.0, "mib_open": 200.0,
        "idle_us": {"web": 10.0, "postgres": 4.0, "redis": -0.5},
        "open": {"sockets": 100, "opened": 100, "kib_per_socket": 40.0, "cpu_ms_per_socket": 6.0},
        "ping": {"due": 800, "answered": 800, "cpu_us_per_ping": 150.0, "pong_ms": MS},
        "follow": {"tabs": 40, "whole": 40, "cpu_us_per_token_and_tab": 30.0, "lag_ms": MS},
        "slow": {"readers": 1, "closed": {"4408": 1}, "kib_per_reader": 900.0, "whole_afterwards": 1},
        "end": dict(END),
    } | changes  # fmt: skip


def good() -> dict[str, dict[str, Any]]:
    cut_off = END | {"told": 0, "closed": {"1006": 100}}
    return {"uvicorn": together([leg(), leg()]), "daphne": together([leg(end=cut_off), leg(end=cut_off)])}


def test_servers_take_turns_there_and_back_again() -> None:
    assert order_of(["a", "b", "c"], 3) == ["a", "b", "c", "c", "b", "a", "a", "b", "c"]


def test_rounds_count_by_their_requests() -> None:
    found = together([leg(), leg(read=asked(0.9, [0.1] * 150), idle_us={"web": 20.0, "postgres": 0.0, "redis": 0.0})])
    assert found["read"]["cpu_ms"] == pytest.approx(1000 * 1.1 / 200)
    assert found["read"]["per_processor_s"] == pytest.approx(200 / 1.1)
    assert (found["read"]["ms"]["p50"], found["page"]["sent"]) == (100.0, 80)
    assert found["read"]["ranks"][0] == (1, 4.0)
    assert found["idle_us"] == {"web": 15.0, "postgres": 2.0, "redis": -0.25}
    assert [each["read_ms"] for each in found["rounds"]] == [pytest.approx(4.0), pytest.approx(6.0)]


def test_where_a_round_has_no_latency_there_is_none_to_tell() -> None:
    silent = leg(follow=leg()["follow"] | {"whole": 0, "lag_ms": dict.fromkeys(MS)})
    found = good() | {"daphne": together([leg(), silent])}
    assert found["daphne"]["lag_p95_ms"] is None
    assert missed(found) == ["daphne: tabs that hold the whole reply"]
    assert "–" in report_text(report_of(found, VERSIONS, HOW, OPTIONS, MACHINE))


def test_an_idle_socket_costs_what_all_of_them_add() -> None:
    without = {"web": 0.02, "postgres": 0.01, "redis": 0.002, "worker": 0.01}
    assert per_socket(without, {**without, "web": 0.025}, 500) == {
        "web": pytest.approx(10.0), "postgres": 0.0, "redis": 0.0,
    }  # fmt: skip


def test_requests_are_somebodys() -> None:
    class Two:
        web_port, cookies = 8000, ["one", "two"]

    requests = requests_to(Two(), ["first", "second"])  # type: ignore[arg-type]
    assert b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nCookie: sessionid=two\r\n" in requests["page"](3)[1]
    assert b"GET /api/v1/me " in requests["read"](0)[1]
    assert b"Bearer second" in requests["read"](1)[1]


def missed(found: dict[str, dict[str, Any]]) -> list[str]:
    return [check.name for check in judged(found) if check.verdict != "reached"]


def test_a_good_run_reaches_everything_though_others_tell_nobody_of_their_end() -> None:
    assert missed(good()) == []


@pytest.mark.parametrize(
    ("name", "path", "value", "wanted"),
    [
        ("daphne", "read/statuses", {"200": 99, "500": 1}, "daphne: reads answered"),
        ("daphne", "opened", 199, "daphne: sockets opened"),
        ("uvicorn", "pongs", 1599, "uvicorn: pings answered"),
        ("daphne", "whole", 79, "daphne: tabs that hold the whole reply"),
        ("uvicorn", "ends/1/told", 99, "uvicorn: sockets told before it ended, round 2"),
    ],
)
def test_what_went_wrong_is_missed(name: str, path: str, value: Any, wanted: str) -> None:
    found = copy.deepcopy(good())
    *way, last = path.split("/")
    place: Any = found[name]
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    assert missed(found) == [wanted]


def test_the_report_names_who_was_left_out_and_how_each_ends() -> None:
    report = report_of(good(), VERSIONS, HOW, OPTIONS, MACHINE)
    told = report_text(report)
    assert "Not installed, and left out: granian." in told
    assert "100 × 1006" in told
    assert "0 of 200 told of its end" in told
    assert "uvicorn, daphne, daphne, uvicorn" in told
    assert report_page(report).count("<svg") == 5


def test_servers_are_named_with_commas() -> None:
    assert servers("daphne,uvicorn,daphne") == ["daphne", "uvicorn"]
    with pytest.raises(ArgumentTypeError, match="hypercorn"):
        servers("uvicorn,hypercorn")


def test_what_a_python_has_is_asked_of_it() -> None:
    assert list(installed(sys.executable, ["daphne", "no-such-server"])) == ["daphne"]
    with pytest.raises(ValueError, match="/nowhere/python"):
        installed("/nowhere/python", ["daphne"])


def test_threads_of_the_others_share_arenas_as_those_of_runweb_do(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(threads, "share_arenas", lambda: begun.append("arenas"))
    monkeypatch.setitem(sys.modules, "chatbot_project.asgi", cast(Any, Namespace(application=None)))
    runpy.run_module("stress_tests.bench_servers_app")
    assert begun == ["arenas"]


@pytest.mark.parametrize("name", SERVERS)
def test_servers_listen_on_loopback_alone(name: str) -> None:
    command = SERVERS[name].command(8123)
    assert "127.0.0.1" in " ".join(command)
    assert "8123" in " ".join(command)


def test_where_a_child_does_the_work_it_is_the_biggest() -> None:
    pid = os.getpid()
    assert biggest(pid) == pid
    assert tree_rss_bytes(pid) >= rss_bytes(pid) > 0
