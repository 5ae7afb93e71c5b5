"""``manage.py doctor``: database, embeddings, Redis, and whether Celery and beat are at work."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from chatbot_project import task_queue
from chatbot_project.beat_heartbeat import BEAT_KEY
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from chatbot_project.tests.doctor_running import examined
from faqs.embedding import make_embedder
from faqs.models import EmbeddingModel
from faqs.state import knowledge_state
from stress_tests.fake_model import EMBEDDINGS, FakeModelServer, Script, closed_port


@pytest.fixture
def redis_settings(settings: Any) -> Iterator[Any]:
    """Redis' configuration, put back afterwards."""
    redis = blocking_redis()
    before = {name: redis.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    yield redis
    for name, value in before.items():
        redis.config_set(name, value)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_whole() -> None:
    found = examined("database", "migrations", "pgvector", "time-zone")
    assert {finding.status for finding in found.values()} == {"ok"}, found


def test_a_database_that_is_away_is_named_and_what_needs_it_is_skipped(settings: Any) -> None:
    found = examined("migrations", "pgvector", seconds=1)  # pytest-django lets no connection through
    assert [found[name].status for name in ("database", "migrations", "pgvector")] == ["failed", "skipped", "skipped"]


@pytest.mark.django_db(transaction=True)
def test_migrations_that_are_missing_or_of_a_newer_version_are_told() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("chatbot_project", "0999_of_tomorrow")
    try:
        assert (found := examined("migrations")["migrations"]).status == "warning"
        assert "0999_of_tomorrow" in found.found
        recorder.record_unapplied("analytics", "0001_rollups")
        assert (found := examined("migrations")["migrations"]).status == "failed"
        assert found.fix == "Run: manage.py migrate"
    finally:
        recorder.record_unapplied("chatbot_project", "0999_of_tomorrow")
        recorder.record_applied("analytics", "0001_rollups")


@pytest.fixture
def embedding(settings: Any, fake_model: FakeModelServer, transactional_db: None) -> Iterator[EmbeddingModel]:
    """Vectors of 256 dimensions in force, made by the fake model server."""
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "key")}
    settings.EMBEDDING_MODEL = "fake/fake"
    make_embedder.cache_clear()
    state = knowledge_state()
    state.model = EmbeddingModel.objects.create(name="fake/fake", dimensions=256)
    state.save()
    yield state.model
    make_embedder.cache_clear()


def test_an_embedding_model_that_fits(embedding: EmbeddingModel) -> None:
    found = examined("embedding")["embedding"]
    assert (found.status, found.found[:25]) == ("ok", "256 dimensions, as stored")


def test_vectors_of_another_length_than_the_stored_ones_are_told(
    embedding: EmbeddingModel, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(dimensions=128), path=EMBEDDINGS)
    found = examined("embedding")["embedding"]
    assert found.status == "failed"
    assert "gives 128 dimensions, the stored vectors have 256" in found.found


def test_an_embedding_endpoint_that_fails_and_a_model_that_was_not_switched_to(
    embedding: EmbeddingModel, fake_model: FakeModelServer, settings: Any
) -> None:
    fake_model.enqueue(Script(status=404), path=EMBEDDINGS)
    settings.EMBEDDING_MODEL = "embedded/wordllama"
    found = examined("embedding")
    assert found["embedding fake/fake"].status == "failed"
    assert found["embedding embedded/wordllama"].status == "ok"
    assert "manage.py embed_faqs --model embedded/wordllama" in found["embedding switch"].fix


def test_an_embedding_endpoint_whose_base_url_is_not_quite_right_is_answered_with_the_right_one(
    embedding: EmbeddingModel, fake_model: FakeModelServer, settings: Any
) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url.removesuffix("/v1"), "key")}
    found = examined("embedding")["embedding"]
    assert found.status == "failed"
    assert found.fix == f"Set the base URL in LLM_PROVIDERS to {fake_model.base_url}"


def test_redis_and_the_channel_layer_carry_what_they_are_given(redis_settings: Any) -> None:
    redis_settings.config_set("maxmemory-policy", "noeviction")
    found = examined("redis", "redis-memory", "channels")
    assert {finding.status for finding in found.values()} == {"ok"}, found


@pytest.mark.parametrize(("most", "status"), [("0", "warning"), ("200mb", "failed")])
def test_a_redis_that_throws_away_what_it_was_given_is_told(redis_settings: Any, most: str, status: str) -> None:
    redis_settings.config_set("maxmemory", most)
    redis_settings.config_set("maxmemory-policy", "allkeys-lru")
    found = examined("redis-memory")["redis-memory"]
    assert found.status == status
    assert "noeviction" in found.fix


def test_a_redis_that_is_away_is_named_and_what_needs_it_is_skipped(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    found = examined("redis-memory", "channels", "beat")
    assert found.pop("redis").status == found.pop("redis ").status == "failed"
    assert {finding.status for finding in found.values()} == {"skipped"}


@pytest.mark.django_db(transaction=True)
def test_nobody_at_work_is_told_with_what_to_start() -> None:
    blocking_redis().flushdb()
    for key in KEYS:
        blocking_redis().rpush(key, "a task")
    try:
        found = examined("replies", "celery", "beat", seconds=10)
    finally:
        blocking_redis().delete(*KEYS)
    assert [found[name].status for name in ("replies", "celery", "beat")] == ["failed"] * 3
    assert "manage.py runreplies" in found["replies"].fix
    assert "4 wait" in found["celery"].found, "the doctor's own as well"
    assert "celery -A chatbot_project worker" in found["celery"].fix
    assert "celery -A chatbot_project beat" in found["beat"].fix


def test_where_the_queue_is_full_it_is_celery_that_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_queue, "MOST_WAITING", 0)
    found = examined("celery", seconds=4)["celery"]
    assert (found.status, "No Celery worker" in found.found) == ("failed", True)
    assert "celery -A chatbot_project worker" in found.fix


def test_a_beat_that_went_silent_is_told_with_how_long_ago() -> None:
    blocking_redis().set(BEAT_KEY, "2026-01-01T00:00:00+00:00", ex=60)
    found = examined("beat")["beat"]
    blocking_redis().delete(BEAT_KEY)
    assert found.status == "failed"
    assert "s ago; one is due" in found.found
