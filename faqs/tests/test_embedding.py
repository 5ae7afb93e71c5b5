"""Vectors: the embedded model's and an endpoint's over real HTTP, and what is refused."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from chatbot_project.lib.llm.batching import Batcher
from chatbot_project.lib.llm.providers import Provider
from faqs.embedding import EmbeddingError, EndpointEmbedder, embedder, unit_rows
from faqs.embedding_line import CALLS, line_to
from faqs.languages import detect_language
from stress_tests.fake_model import EMBEDDINGS, FakeModelServer, Script, closed_port


@pytest.fixture
def endpoint(fake_model: FakeModelServer, settings: Any) -> EndpointEmbedder:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "key")}
    return EndpointEmbedder("fake/vectors")


def test_the_embedded_model_makes_rows_of_length_one() -> None:
    rows = embedder("embedded/wordllama").embed(["How do I pay?", "Wie zahle ich?", "", "🙂"])
    assert rows.shape == (4, 256)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_among_others() -> None:
    make = embedder("embedded/wordllama").embed
    assert np.allclose(make(["short", "a much longer sentence about something else"])[0], make(["short"])[0], atol=1e-6)


def test_no_texts_have_no_vectors() -> None:
    assert embedder("embedded/wordllama").embed([]).shape == (0, 256)


@pytest.mark.parametrize(
    "rows",
    [
        [[0.0, 0.0], [1.0, 0.0]],
        [[1.0, math.nan]],
        [[1.0, math.inf]],
        [[1.0, 2.0], [1.0]],
        [[1e200, 1e300]],
        [1.0, 2.0],
        [[]],
        [["a", "b"]],
        [[1.0] * 4001],
    ],
)
def test_a_vector_that_cannot_be_compared_is_refused(rows: Any) -> None:
    with pytest.raises(EmbeddingError):
        unit_rows(rows, name="some/model")


def test_a_vector_of_another_dimension_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="2 dimensions; its own have 3"):
        unit_rows([[1.0, 2.0]], name="some/model", dimensions=3)


def test_an_endpoint_is_asked_in_batches_and_its_rows_are_normalised(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer
) -> None:
    rows = endpoint.embed([f"text {number}" for number in range(150)])
    assert rows.shape == (150, 256)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    asked = [request for request in fake_model.requests if request.path == EMBEDDINGS]
    assert [len(request.body["input"]) for request in asked] == [64, 64, 22]
    assert {request.model for request in asked} == {"vectors"}
    assert np.allclose(endpoint.embed(["text 149"])[0], rows[149])


def test_an_endpoints_dimension_is_found_by_asking(endpoint: EndpointEmbedder, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(dimensions=48), path=EMBEDDINGS)
    assert endpoint.dimensions == 48


def test_an_endpoint_that_changes_its_dimension_is_refused(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer
) -> None:
    endpoint.embed(["a"])
    fake_model.enqueue(Script(dimensions=64), path=EMBEDDINGS)
    with pytest.raises(EmbeddingError, match="64 dimensions; its own have 256"):
        endpoint.embed(["b"])


def test_questions_that_come_at_once_go_together_and_each_gets_its_own_vector(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"question {number}" for number in range(60)]
    expected = endpoint.embed(texts)
    fake_model.default = Script(gate=fake_model.hold())
    before = len(fake_model.requests)
    asked: list[str] = []
    ask = Batcher.ask

    def counted(batcher: Any, text: str) -> Any:
        asked.append(text)
        if len(asked) == len(texts):
            fake_model.default.gate.release()
        return ask(batcher, text)

    monkeypatch.setattr(Batcher, "ask", counted)
    with ThreadPoolExecutor(60) as threads:
        rows = list(threads.map(lambda text: endpoint.embed([text])[0], texts))
    assert np.allclose(rows, expected, atol=1e-6)
    sent = [len(request.body["input"]) for request in list(fake_model.requests)[before:]]
    # While there is room each goes alone, and all that waited goes together; which the server meets first is up to
    # their connections.
    assert sorted(sent) == [1] * CALLS + [len(texts) - CALLS]


def test_a_line_that_has_ended_is_opened_anew(endpoint: EndpointEmbedder) -> None:
    endpoint.embed(["a"])
    line_to(endpoint.name).close()
    assert endpoint.embed(["a"]).shape == (1, 256)


def test_a_question_that_is_refused_fails_alone(endpoint: EndpointEmbedder, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(status=400)
    with pytest.raises(EmbeddingError) as caught:
        endpoint.embed(["a"])
    assert caught.value.code == "llm_refused"
    fake_model.default = Script()
    assert endpoint.embed(["a"]).shape == (1, 256)


@pytest.mark.parametrize("fault", ["nan", "zero", "short"])
def test_a_bad_vector_from_an_endpoint_is_refused(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer, fault: str
) -> None:
    fake_model.default = Script(bad_vector=fault)
    with pytest.raises(EmbeddingError):
        endpoint.embed(["a", "b"])


@pytest.mark.parametrize("script", [Script(status=500), Script(status=401), Script(html=True)])
def test_an_endpoint_that_fails_is_an_embedding_error(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer, script: Script
) -> None:
    fake_model.default = script
    with pytest.raises(EmbeddingError):
        endpoint.embed(["a"])


def test_an_endpoint_that_is_not_there_is_an_embedding_error(settings: Any) -> None:
    settings.LLM_PROVIDERS = {"gone": Provider("gone", f"http://127.0.0.1:{closed_port()}/v1")}
    with pytest.raises(EmbeddingError, match="cannot be reached"):
        EndpointEmbedder("gone/model").embed(["a"])
    with pytest.raises(EmbeddingError, match="No model provider"):
        EndpointEmbedder("nobody/model").embed(["a"])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie setze ich mein Passwort zurück?", "de"),
        ("I cannot log in any more", "en"),
        ("Où est ma carte bancaire ?", "fr"),
        ("Hi", "en"),
        ("", "en"),
        ("IBAN", "en"),
        ("¿Dónde está mi tarjeta de crédito?", "en"),  # clearly none of them
    ],
)
def test_the_language_of_a_question(text: str, language: str) -> None:
    assert detect_language(text, among=["en", "de", "fr"], default="en") == language


def test_a_language_is_detected_as_the_code_it_is_offered_as() -> None:
    assert detect_language("Onde está o meu cartão de crédito?", among=["en", "pt-br"], default="en") == "pt-br"
    assert detect_language("Wo ist meine Karte geblieben?", among=["de"], default="de") == "de"


def test_an_outside_endpoint_gets_texts_without_personal_data(
    endpoint: EndpointEmbedder, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "I am bob@example.org. Where is my card?"
    near = endpoint.embed([text])
    assert fake_model.requests[-1].body["input"] == [text]
    monkeypatch.setattr(Provider, "is_outside", True)
    far = endpoint.embed([text])
    assert fake_model.requests[-1].body["input"] == ["I am [E-MAIL]. Where is my card?"]
    assert not np.allclose(near, far)
