"""Every process is asked for its metrics by itself, and what happens shows in them."""

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets import ConnectionClosed

from accounts.models import User
from accounts.tasks import seal_audit, send_mail
from chatbot_project.lib.db import run_db
from chatbot_project.lib.metrics.registry import DESCRIBED
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .fault_stack import eventually
from .stack import START_SECONDS, CeleryWorker, Process, Stack, end, free_port, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a-token-for-tests-0123456789abcdef"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Metered:
    """A process with a metrics port of its own."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.port = free_port()
        process.environment = process.environment | {"METRICS_PORT": str(self.port), "METRICS_TOKEN": TOKEN}

    def get(self, path: str = "/metrics", token: str = TOKEN) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"} if token else {}
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            return str(answer.read().decode())

    def samples(self) -> Samples:
        return parsed(self.get())

    def value(self, name: str, **labels: str) -> float:
        """The sample; 0 where it is absent."""
        return self.samples().get((name, tuple(sorted(labels.items()))), 0.0)

    def listens(self) -> bool:
        try:
            return bool(self.get())
        except OSError:
            return False


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def metered_stack(
    django_db_setup: None, fake_model_session: FakeModelServer
) -> Iterator[tuple[Stack, Metered, Metered]]:
    stack = Stack(fake_model_session.base_url)
    web, worker = Metered(stack.web[0]), Metered(stack.workers[0])
    with stack:
        wait_until(web.listens, "the web process's metrics")
        wait_until(worker.listens, "the worker's metrics")
        yield stack, web, worker


@pytest.fixture
def stack(
    transactional_db: None, fake_model: FakeModelServer, metered_stack: tuple[Stack, Metered, Metered]
) -> Iterator[Stack]:
    metered_stack[0].resume_workers()
    yield metered_stack[0]
    metered_stack[0].print_logs()


@pytest.fixture
def web(metered_stack: tuple[Stack, Metered, Metered]) -> Metered:
    return metered_stack[1]


@pytest.fixture
def worker(metered_stack: tuple[Stack, Metered, Metered]) -> Metered:
    return metered_stack[2]


def moved(metered: Metered, before: Samples, name: str, **labels: str) -> Callable[[], Any]:
    """Whether the sample is larger than it was."""
    key = (name, tuple(sorted(labels.items())))
    return lambda: metered.samples().get(key, 0.0) > before.get(key, 0.0)


async def test_a_reply_shows_in_the_metrics_of_web_and_worker(
    stack: Stack, web: Metered, worker: Metered, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    web_before, before = web.samples(), worker.samples()
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["Well, ", "hello."], gate=gate))
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        accepted = await tab.ask("Hello?")
        gate.release(1)
        first = tab.replies[accepted["reply"]["id"]]
        await tab.until(lambda: first.text, "the first piece, which goes out at once; what comes after it has a tick")
        await eventually(lambda: web.value("nono_sockets_open", transport="websocket") == 1, "one socket")
        await eventually(lambda: web.value("nono_replies_followed") == 1, "a reply that is followed")
        await eventually(lambda: worker.value("nono_replies_streaming", provider="fake") == 1, "a reply that streams")
        gate.release()
        seen = await tab.ended(accepted["reply"]["id"])
        assert seen.status == "reply.completed"
        await tab.send(type="conversation.follow", conversation=str(uuid4()), cursors={})
        absent = {"surface": "websocket", "code": "not_found"}
        await eventually(moved(web, web_before, "nono_errors_total", **absent), "an error by its code")
    await eventually(lambda: web.value("nono_sockets_open", transport="websocket") == 0, "no socket")
    await eventually(lambda: worker.value("nono_replies_streaming", provider="fake") == 0, "nothing that streams")
    for name, labels in (
        ("nono_replies_total", {"outcome": "completed"}),
        ("nono_reply_wait_seconds_count", {}),
        ("nono_reply_first_token_seconds_count", {}),
        ("nono_reply_duration_seconds_count", {}),
        ("nono_relay_seconds_count", {}),
        ("nono_relay_entries_total", {}),
        ("nono_tokens_total", {"provider": "fake", "kind": "prompt"}),
        ("nono_tokens_total", {"provider": "fake", "kind": "completion"}),
        ("nono_model_requests_total", {"provider": "fake", "outcome": "ok"}),
        ("nono_model_first_token_seconds_count", {"provider": "fake"}),
        ("nono_database_pool_requests_total", {}),
        ("nono_event_loop_lag_seconds_count", {}),
    ):
        await eventually(moved(worker, before, name, **labels), f"{name} {labels}")
    for name, labels in (
        ("nono_socket_commands_total", {"type": "message.send"}),
        ("nono_socket_closes_total", {"code": "1000", "by": "client"}),
    ):
        await eventually(moved(web, web_before, name, **labels), f"{name} {labels}")
    assert worker.value("nono_reply_slots", provider="fake") == 160
    assert worker.value("nono_redis_up") == 1
    assert (worker.value("nono_process_info", process="replies"), web.value("nono_process_info", process="web")) == (
        1,
        1,
    )


async def test_a_model_that_fails_shows_as_failed_replies_and_an_open_breaker(
    stack: Stack, worker: Metered, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    before = worker.samples()
    fake_model.default = Script(status=500)
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        for _ in range(3):
            accepted = await tab.ask("Hello?")
            await tab.ended(accepted["reply"]["id"])
    await eventually(moved(worker, before, "nono_replies_total", outcome="failed"), "failed replies")
    await eventually(
        moved(worker, before, "nono_errors_total", surface="reply", code="llm_unavailable"), "errors by code"
    )
    await eventually(lambda: worker.value("nono_model_breaker_state", provider="fake") > 0, "an open breaker")


async def test_a_flood_of_frames_counts_as_a_limit_that_was_used_up(stack: Stack, web: Metered, owner: User) -> None:
    before = web.samples()
    async with ChatClient(stack.url, await run_db(session_key, owner)) as tab:
        with suppress(ConnectionClosed):
            for _frame in range(200):
                await tab.send(type="ping")
        await tab.until(lambda: tab.close_code, "its end")
    assert moved(web, before, "nono_rate_limited_total", limit="frames")()


def test_what_alerts_watch_is_there_before_the_first_of_it(stack: Stack, web: Metered, worker: Metered) -> None:
    """Of a counter that is born at 1, Prometheus sees no rise."""

    def told(metered: Metered, name: str) -> set[tuple[str, ...]]:
        return {tuple(value for _label, value in labels) for series, labels in metered.samples() if series == name}

    errors = {(code, "http") for code in ("internal_error", "busy", "maintenance")} | {("internal_error", "websocket")}
    assert errors <= told(web, "nono_errors_total")
    assert ("internal_error", "reply") in told(worker, "nono_errors_total")
    unavailable = {(action, "unavailable", stage) for action in ("flag", "block") for stage in ("input", "output")}
    assert unavailable <= told(worker, "nono_moderation_total")


def test_requests_are_counted_by_the_pattern_of_their_address(stack: Stack, web: Metered) -> None:
    for path in (f"/c/{uuid4()}/", "/nothing/here", "/healthz", "/static/css/none.css"):
        try:
            urllib.request.urlopen(f"{stack.url}{path}", timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()
    routes = {dict(labels)["route"] for name, labels in web.samples() if name == "nono_http_requests_total"}
    assert {"c/<uuid:conversation_id>/", "healthz", "static", "unmatched"} <= routes
    assert not [route for route in routes if "nothing" in route or "none.css" in route]


@pytest.mark.parametrize("token", ["", "another-token"])
def test_strangers_are_refused(stack: Stack, web: Metered, token: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        web.get(token=token)
    assert (refused.value.code, refused.value.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"nono_" not in refused.value.read()
    with pytest.raises(urllib.error.HTTPError) as absent:
        web.get("/admin/")
    assert absent.value.code == 404
    absent.value.close()


def test_many_who_ask_at_once_all_get_a_whole_page(stack: Stack, web: Metered, worker: Metered) -> None:
    with ThreadPoolExecutor(16) as threads:
        pages = list(threads.map(lambda number: (web, worker)[number % 2].samples(), range(64)))
    assert all(page[("nono_redis_up", ())] == 1 for page in pages)


def test_every_sample_is_of_a_metric_that_is_described(stack: Stack, web: Metered, worker: Metered) -> None:
    known = {series for metric in DESCRIBED.values() for series in metric.series}
    told = {name for metered in (web, worker) for name, _labels in metered.samples()}
    assert sorted(name for name in told - known if name.startswith("nono_")) == []
    assert {"process_resident_memory_bytes", "process_open_fds"} <= told


@pytest.mark.slow
def test_tasks_and_beat_show_in_the_metrics_of_their_processes(stack: Stack, tmp_path: Path) -> None:
    celery = CeleryWorker(stack)
    tasks = Metered(celery)
    timer = Process("beat", [], stack.environment)
    timer._arguments = [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "chatbot_project", "beat"),
        *("--schedule", str(tmp_path / "schedule"), "--pidfile", "", "--loglevel", "WARNING"),
    ]
    beat = Metered(timer)
    with celery:
        wait_until(tasks.listens, "the Celery worker's metrics", START_SECONDS)
        assert (
            "nono_task_runs_total",
            (("outcome", "failed"), ("task", "accounts.tasks.send_mail")),
        ) in tasks.samples()
        timer.start()
        try:
            seal_audit.delay()
            send_mail.delay("no uuid")
            for name, labels in (
                ("nono_task_runs_total", {"task": "accounts.tasks.seal_audit", "outcome": "done"}),
                ("nono_task_runs_total", {"task": "accounts.tasks.send_mail", "outcome": "failed"}),
                ("nono_task_duration_seconds_count", {"task": "accounts.tasks.seal_audit"}),
            ):
                wait_until(lambda: tasks.value(name, **labels) > 0, f"{name} {labels}")  # noqa: B023
            wait_until(beat.listens, "beat's metrics", START_SECONDS)
            wait_until(lambda: beat.value("nono_beat_last_sent_timestamp_seconds") > 1.7e9, "beat to send")
            success = "nono_task_last_success_timestamp_seconds"
            wait_until(lambda: beat.value(success, task="accounts.tasks.seal_audit") > 1.7e9, "a success")
            told = beat.samples()
            assert told[("nono_database_up", ())] == 1
            assert told[("nono_queue_replies", (("state", "queued"),))] == 0
            assert ("nono_task_queue_length", ()) in told
            assert told[("nono_reply_worker_heard", ())] == 1
        finally:
            end(timer)
            print(timer.output()[-3000:])


async def test_what_waits_shows_in_the_queue(stack: Stack, owner: User, persona: Persona) -> None:
    from conversations.replies.queue import depth

    stack.pause_workers()
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        await asyncio.gather(tab.ask("One"), tab.ask("Two"))
        found = await run_db(depth)
    stack.resume_workers()
    assert found.queued + found.streaming == 2
    assert found.oldest_wait >= 0
