"""The doctor of a whole installation: a web process, a reply worker, a Celery worker and beat, all real."""

import re
import sys
from collections.abc import Iterator

import pytest

from chatbot_project.beat_heartbeat import BEAT_KEY
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests.doctor_running import examined, run
from conversations.tests.stack import CeleryWorker, Process, Stack, end, wait_until
from stress_tests.fake_model import FakeModelServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def processes(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """Everything that an installation runs."""
    blocking_redis().delete(BEAT_KEY)
    stack = Stack(fake_model_session.base_url)
    beat = Process("beat", [], stack.environment)
    schedule = str(beat.log.with_suffix(".schedule"))
    beat._arguments = [sys.executable, "-m", "celery", "-A", "chatbot_project", "beat", "-s", schedule, "--pidfile", ""]
    beat.start()
    try:
        with CeleryWorker(stack), stack:
            wait_until(lambda: blocking_redis().exists(BEAT_KEY) or not beat.is_running, "beat", 60)
            yield stack
    finally:
        end(beat)


def test_everything_that_runs_is_found_well(processes: Stack, settings: object, fake_model: FakeModelServer) -> None:
    for stack in Stack.running:
        stack.resume_workers()
    settings.BASE_URL = processes.url  # type: ignore[attr-defined]
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "test")}  # type: ignore[attr-defined]
    settings.DEFAULT_MODEL, settings.TITLE_MODEL = "fake/echo", ""  # type: ignore[attr-defined]
    names = ["web", "websocket", "static", "replies", "celery", "beat", "models"]
    found = examined(*names, seconds=20)
    assert {name: found[name].status for name in names} == dict.fromkeys(names, "ok"), found
    assert "closed as it must be for nobody (4401)" in found["websocket"].found
    # Others of the session may answer, too.
    assert re.match(r"([1-9]\d*) of \1 answered within \d+ ms; 0 wait", found["replies"].found)
    assert "sent, done and answered" in found["celery"].found
    code, output = run("--timeout", "20")
    assert (code, "failed" in output) == (0, False), output


def test_workers_that_hang_are_found_though_they_listen(processes: Stack) -> None:
    for stack in Stack.running:
        stack.pause_workers()
    try:
        found = examined("replies", seconds=10)["replies"]
    finally:
        processes.resume_workers()
    assert found.status == "failed"
    assert re.match(r"[1-9]\d* listen for work, but none answered within 6 s", found.found)


def test_a_host_that_the_server_does_not_expect_is_told(processes: Stack, settings: object) -> None:
    settings.BASE_URL = processes.url.replace("127.0.0.1", "0.0.0.0")  # type: ignore[attr-defined]
    found = examined("web", "websocket")
    assert found["web"].status == "failed"
    assert "ALLOWED_HOSTS" in found["web"].fix
    assert found["websocket"].status == "skipped"
