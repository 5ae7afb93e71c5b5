"""``/healthz`` says that the process answers, ``/readyz`` that a reply could be made, and what is missing by name."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.test import AsyncClient, Client

from chatbot_project import health
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.redis import make_redis
from conversations.hub import running_hub
from conversations.replies.heartbeat import HEARTBEAT_KEY
from stress_tests.fake_model import FakeModelServer, closed_port

PARTS = {"database", "redis", "model", "worker", "erasures", "web"}


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    client = make_redis()
    await client.set(HEARTBEAT_KEY, "now")
    yield client
    await client.delete(HEARTBEAT_KEY)
    await client.aclose()


@pytest.fixture
async def ready(
    transactional_db: None,
    fake_model: FakeModelServer,
    settings: Any,
    redis: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[], Any]]:
    """Ask ``/readyz`` of a process that has all it needs; gives the status and the parts that are not well now."""
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "test")}
    settings.DEFAULT_MODEL = "fake/echo"

    async def ask() -> tuple[int, set[str]]:
        answer = await AsyncClient().get("/readyz")
        parts = answer.json()["parts"]
        assert set(parts) == PARTS
        return answer.status_code, {name for name, state in parts.items() if state != "ok"}

    hub = running_hub()
    yield ask
    await hub.stop()


def test_alive_is_who_answers_even_without_a_database() -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_come_by_an_address_that_is_no_name_of_the_site(path: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.BASE_URL = ["chat.example.org"], "https://chat.example.org"
    assert Client().get("/", headers={"host": "10.0.0.7:8000"}).status_code == 400
    assert Client().get(path, headers={"host": "10.0.0.7:8000"}).status_code in (200, 503)


async def test_ready_is_who_has_every_part(ready: Callable[[], Any]) -> None:
    assert await ready() == (200, set())


async def test_a_worker_that_is_not_heard_of_is_named(ready: Callable[[], Any], redis: Any) -> None:
    await redis.delete(HEARTBEAT_KEY)
    assert await ready() == (503, {"worker"})


@pytest.mark.parametrize(
    "provider",
    [Provider("fake", f"http://127.0.0.1:{closed_port()}/v1", "x"), Provider("other", "http://127.0.0.1:1/v1")],
)
async def test_a_model_that_does_not_answer_or_is_not_configured_is_named(
    ready: Callable[[], Any], settings: Any, provider: Provider
) -> None:
    settings.LLM_PROVIDERS = {provider.name: provider}
    assert await ready() == (503, {"model"})


async def test_redis_that_is_away_is_named_and_with_it_the_worker(ready: Callable[[], Any], settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    assert await ready() == (503, {"redis", "worker"})


async def test_a_database_that_is_away_is_named(ready: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_arguments: object) -> None:
        raise OperationalError("secret host name")

    monkeypatch.setattr(health, "run_db", away)
    assert await ready() == (503, {"database"})
    assert "secret" not in (await AsyncClient().get("/readyz")).content.decode()


async def test_a_part_that_hangs_is_named_within_the_deadline(
    ready: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "run_db", hangs)
    assert health.CHECK_SECONDS <= 3
    async with asyncio.timeout(30):
        assert await ready() == (503, {"database"})


async def test_a_process_that_drains_is_not_ready(ready: Callable[[], Any]) -> None:
    running_hub().draining = True
    assert await ready() == (503, {"web"})


# --- the same over the API


@pytest.fixture
def api_health(ready: Callable[[], Any]) -> Callable[..., Any]:
    """Ask ``/api/v1/health``; gives the answer."""

    async def ask(**headers: str) -> Any:
        return await AsyncClient().get("/api/v1/health", headers=headers)

    return ask


async def test_the_api_says_that_every_part_is_there(api_health: Callable[..., Any]) -> None:
    answer = await api_health()
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {"status": "ok", "parts": dict.fromkeys(health.PARTS, "ok")}


async def test_the_api_names_what_is_missing_as_a_problem_and_no_more(
    api_health: Callable[..., Any], redis: Any, settings: Any
) -> None:
    await redis.delete(HEARTBEAT_KEY)
    running_hub().draining = True
    answer = await api_health()
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    body = answer.json()
    assert (body["code"], body["status"], answer["Retry-After"]) == ("unavailable", 503, "5")
    assert body["parts"] == {
        "database": "ok", "redis": "ok", "model": "ok", "worker": "unavailable", "erasures": "ok", "web": "draining"
    }  # fmt: skip


async def test_the_api_answers_without_a_database_and_whoever_asks(
    api_health: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_arguments: object) -> None:
        raise OperationalError("secret host name")

    monkeypatch.setattr(health, "run_db", away)
    answer = await api_health(Authorization="Bearer of.no.use")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"] == "unavailable"
    assert b"Error" not in answer.content


async def test_the_api_answers_without_redis(api_health: Callable[..., Any], settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    answer = await api_health()
    assert (answer.status_code, answer.json()["parts"]["redis"]) == (503, "unavailable")


def test_asked_where_no_sockets_are_served_none_is_started() -> None:
    assert Client().get("/api/v1/health").json()["parts"]["web"] == "ok"


async def test_a_restored_database_that_lacks_erasures_is_not_ready_until_they_are_replayed(
    ready: Callable[[], Any], settings: Any, tmp_path: Path
) -> None:
    settings.ERASURE_LOG = tmp_path / "erasures.jsonl"
    line = {"id": str(uuid7()), "person": "x", "address": "", "begun_at": "2026-11-28T12:00:00+00:00"}
    settings.ERASURE_LOG.write_text(json.dumps(line) + "\n")
    assert await ready() == (503, {"erasures"})
    await run_db(call_command, "replay_erasures")
    assert await ready() == (200, set())
    settings.ERASURE_LOG.write_text("no line\n")
    assert await ready() == (503, {"erasures"})


async def test_however_many_ask_each_part_is_asked_once(
    ready: Callable[[], Any], fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_SECONDS", 60.0)
    fake_model.requests.clear()
    assert await asyncio.gather(*(ready() for _ in range(20))) == [(200, set())] * 20
    assert await ready() == (200, set())
    assert len(fake_model.requests) == 1
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    await ready()
    assert len(fake_model.requests) == 2


async def test_a_database_that_only_reads_is_named(ready: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that stands by for another, to which an address still leads."""

    def of_a_standby(work: Callable[[], Any]) -> Any:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            return work()

    monkeypatch.setattr(health, "run_db", lambda work: run_db(of_a_standby, work))
    assert await ready() == (503, {"database"})
