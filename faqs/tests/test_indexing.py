"""Vectors are made once for each text, stored, indexed and switched; the command that does so over real HTTP."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db import connections as database_connections
from django.test.utils import CaptureQueriesContext

from chatbot_project.lib.llm.providers import Provider
from faqs import indexing, services
from faqs.embedding import EmbeddingError, embedder, make_embedder
from faqs.indexing import Busy, ensure_index, fill, fill_index, filling, index_name, model_of, switch_model
from faqs.models import Embedding, EmbeddingModel, KnowledgeState, Phrasing
from faqs.retrieval import find_answer
from faqs.state import knowledge_state
from faqs.tests.factories import make_faq, make_index
from stress_tests.fake_model import EMBEDDINGS, FakeModelServer, Script

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "fake/vectors"


@pytest.fixture
def server(fake_model: FakeModelServer, settings: Any) -> Iterator[FakeModelServer]:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "key")}
    make_embedder.cache_clear()
    yield fake_model
    make_embedder.cache_clear()


def texts_asked(server: FakeModelServer) -> list[str]:
    return [text for request in server.requests if request.path == EMBEDDINGS for text in request.body["input"]]


def embed(*arguments: str) -> str:
    out = StringIO()
    call_command("embed_faqs", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def model_in_force() -> str:
    model = knowledge_state().model
    return model.name if model is not None else ""


def has_index(model: EmbeddingModel) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [index_name(model)])
        return cursor.fetchone() == (True,)


def test_published_phrasings_are_embedded_and_drafts_are_not() -> None:
    make_faq("Where is the key?", phrasings=["I lost the key"])
    make_faq("Where is the draft?", published=False)
    fill_index()
    assert set(Embedding.objects.values_list("phrasing__text", flat=True)) == {"Where is the key?", "I lost the key"}
    assert model_in_force() == "embedded/wordllama"
    assert has_index(EmbeddingModel.objects.get())


def test_only_what_is_missing_is_embedded(server: FakeModelServer, settings: Any) -> None:
    settings.EMBEDDING_MODEL = NEW
    faq = make_faq("Where is the key?")
    fill_index()
    server.requests.clear()
    services.edit_faq(faq=faq, actor=None, answer="Under the mat.", phrasings=["Key lost"])
    fill_index()
    fill_index()
    assert texts_asked(server) == ["Key lost"]


def test_a_text_that_is_known_is_taken_from_the_cache(server: FakeModelServer, settings: Any) -> None:
    settings.EMBEDDING_MODEL = NEW
    make_faq("Where is the key?", phrasings=["Key lost", "key gone"])
    fill_index()
    server.requests.clear()
    make_faq("What if I lose a key?", phrasings=["Key lost", "key gone"])
    fill_index()
    assert texts_asked(server) == ["What if I lose a key?"]
    assert Embedding.objects.count() == 6


def test_a_fill_that_broke_off_goes_on_where_it_ended(server: FakeModelServer, settings: Any) -> None:
    for number in range(6):
        make_faq(f"Where is page {number}?")
    maker = embedder(NEW)
    model = model_of(maker)
    server.requests.clear()
    server.enqueue(Script(), Script(), *[Script(status=500)] * 2, path=EMBEDDINGS)
    with pytest.raises(EmbeddingError):
        fill(model, maker, batch=2)
    assert Embedding.objects.count() == 4
    server.requests.clear()
    fill(model, maker, batch=2)
    assert len(texts_asked(server)) == 2
    assert Embedding.objects.count() == 6


def test_a_vector_of_an_older_wording_is_made_anew() -> None:
    make_faq("Where is the key?")
    fill_index()
    Embedding.objects.update(text_hash="0" * 64)
    fill_index()
    row = Embedding.objects.get()
    assert row.text_hash == row.phrasing.text_hash


def test_a_phrasing_that_was_deleted_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    make_faq("Where is the key?", phrasings=["Key lost"])
    real = indexing._vectors

    def late(*arguments: Any) -> Any:
        Phrasing.objects.filter(text="Key lost").delete()
        return real(*arguments)

    monkeypatch.setattr(indexing, "_vectors", late)
    fill_index()
    assert [row.phrasing.text for row in Embedding.objects.all()] == ["Where is the key?"]


def test_a_model_is_not_switched_to_before_it_is_complete() -> None:
    make_faq("Where is the key?")
    fill_index()
    unfinished = EmbeddingModel.objects.create(name=NEW, dimensions=256)
    assert not switch_model(unfinished)
    assert model_in_force() == "embedded/wordllama"


def test_an_index_that_was_cut_short_is_built_again() -> None:
    make_faq("Where is the key?")
    fill_index()
    model = EmbeddingModel.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [index_name(model)])
    assert not has_index(model)
    ensure_index(model)
    assert has_index(model)


def test_behind_a_pooler_an_index_is_built_with_the_servers_own_memory(settings: Any) -> None:
    make_faq("Where is the key?")
    settings.DATABASE_TRANSACTION_POOLER = True
    with CaptureQueriesContext(connection) as queries:
        fill_index()
    said = [query["sql"] for query in queries]
    assert [sql for sql in said if "CREATE INDEX" in sql]
    assert [sql for sql in said if "maintenance_work_mem" in sql] == [], "it would be that of others"
    assert has_index(EmbeddingModel.objects.get())


def test_only_one_process_fills_a_model() -> None:
    model = model_of(embedder("embedded/wordllama"))
    other = database_connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"faqs.filling.{model.pk}"])
        with pytest.raises(Busy), filling(model):
            pass
        with pytest.raises(CommandError, match="Another process"):
            embed()
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        other.close()
    with filling(model):
        pass


# --- manage.py embed_faqs ---------------------------------------------------------------------------------------------
def test_the_command_fills_beside_the_old_model_and_then_switches(server: FakeModelServer) -> None:
    make_faq("Where is the key?", phrasings=["Key lost"])
    make_faq("Where is the door?")
    make_index()
    assert "fake/vectors serves from now on" in embed("--model", NEW)
    assert model_in_force() == NEW
    assert Embedding.objects.filter(model__name=NEW).count() == 3
    assert Embedding.objects.filter(model__name="embedded/wordllama").count() == 3
    assert has_index(EmbeddingModel.objects.get(name=NEW))
    best = find_answer("Where is the door?", visibilities=["guests"]).best
    assert best is not None
    assert best.question == "Where is the door?"
    assert best.dense == pytest.approx(1.0, abs=1e-3)
    assert "complete" in embed("--model", NEW)


def test_progress_is_said(server: FakeModelServer) -> None:
    for number in range(5):
        make_faq(f"Where is page {number}?")
    assert "5/5 phrasings" in embed("--model", NEW)


def test_what_is_published_while_the_command_fills_is_filled_too(
    server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faqs.management.commands import embed_faqs

    make_faq("Where is the key?")
    make_index()

    def late(model: EmbeddingModel) -> None:
        monkeypatch.setattr(embed_faqs, "ensure_index", ensure_index)
        make_faq("Published meanwhile?")
        ensure_index(model)

    monkeypatch.setattr(embed_faqs, "ensure_index", late)
    embed("--model", NEW)
    assert model_in_force() == NEW
    assert Embedding.objects.filter(model__name=NEW).count() == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(bad_vector="nan"), "cannot be used"),
        (Script(bad_vector="zero"), "zeros"),
        (Script(status=401), "401"),
        (Script(html=True), "fake/vectors"),
    ],
)
def test_a_bad_endpoint_is_told_before_anything_is_written(server: FakeModelServer, script: Script, said: str) -> None:
    make_faq("Where is the key?")
    make_index()
    server.default = script
    with pytest.raises(CommandError, match=said):
        embed("--model", NEW)
    assert not EmbeddingModel.objects.filter(name=NEW).exists()
    assert model_in_force() == "embedded/wordllama"


def test_another_dimension_than_the_stored_ones_is_told_before_anything_is_written(server: FakeModelServer) -> None:
    make_faq("Where is the key?")
    EmbeddingModel.objects.create(name=NEW, dimensions=48)
    with pytest.raises(CommandError, match="256 dimensions, those stored have 48"):
        embed("--model", NEW)
    assert not Embedding.objects.exists()


def test_a_provider_that_is_not_configured_is_told() -> None:
    with pytest.raises(CommandError, match="No model provider named nobody"):
        embed("--model", "nobody/model")


# Asked in words that the FAQs do not hold: vectors of hashes cannot know what is meant.
PARAPHRASES = "text,label\nmy login code slipped my mind,How do I reset my password?\nmoney back please,refund\n"


@pytest.fixture
def questions(tmp_path: Path) -> str:
    password = make_faq("How do I reset my password?", phrasings=["forgotten login"])
    refund = make_faq("Can I get a refund?", phrasings=["return my purchase for money"])
    for number in range(30):
        make_faq(f"Where does train number {number} stop?")
    make_index()
    path = tmp_path / "questions.csv"
    path.write_text(PARAPHRASES.replace("refund", str(refund.pk)).replace("reset my password?", password.question[9:]))
    return str(path)


def test_a_worse_model_is_not_switched_to(server: FakeModelServer, questions: str) -> None:
    said = embed("--model", NEW, "--evaluate", questions)
    assert "embedded/wordllama 100.0% (serves)" in said
    assert "goes on serving" in said
    assert model_in_force() == "embedded/wordllama"


def test_a_model_that_is_no_worse_is_switched_to(
    server: FakeModelServer, settings: Any, questions: str, tmp_path: Path
) -> None:
    exact = tmp_path / "exact.csv"
    exact.write_text("text,label\nCan I get a refund?,Can I get a refund?\n")
    said = embed("--model", NEW, "--evaluate", str(exact))
    assert "100.0% (serves), fake/vectors 100.0% (new)" in said
    assert model_in_force() == NEW


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\nx,No such FAQ\n", "line 2"),
        ("text,label\n,Where is the key?\n", "line 2"),
        ("question,answer\na,b\n", "line 2"),
        ("text,label\n", "no question"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_is_written(
    server: FakeModelServer, tmp_path: Path, content: str, said: str
) -> None:
    make_faq("Where is the key?")
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(CommandError, match=said):
        embed("--model", NEW, "--evaluate", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        embed("--model", NEW, "--evaluate", str(tmp_path / "missing.csv"))
    assert not EmbeddingModel.objects.exists()


def test_prune_removes_what_does_not_serve(server: FakeModelServer) -> None:
    make_faq("Where is the key?")
    make_index()
    old = EmbeddingModel.objects.get()
    said = embed("--model", NEW, "--prune")
    assert "embedded/wordllama: vectors and index removed" in said
    assert not has_index(old)
    assert list(EmbeddingModel.objects.values_list("name", flat=True)) == [NEW]
    assert Embedding.objects.count() == 1
    assert KnowledgeState.objects.get().model is not None
