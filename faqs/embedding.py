"""Vectors of texts: by the embedded wordllama, or by any OpenAI-compatible embeddings endpoint.

numpy and wordllama are imported when the first text is embedded, so that a process which never searches does not pay
their memory (about 140 MiB).
"""

import asyncio
import functools
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.llm.providers import goes_outside
from chatbot_project.lib.llm.types import RetryPolicy
from chatbot_project.lib.pii import redact
from faqs.embedding_line import deadlines, line_to

if TYPE_CHECKING:
    import numpy as np

EMBEDDED = "embedded/wordllama"
EMBEDDED_DIMENSIONS = 256
ENDPOINT_BATCH = 64  # texts a request; every known endpoint takes as many
MAX_DIMENSIONS = 4000  # what pgvector can index as halfvec
_PROBE = "How can we help you?"


class EmbeddingError(ApplicationError):
    """A text has no usable vector: the endpoint does not answer, or answers with what cannot be compared."""

    def __init__(self, detail: str, *, code: str = "embedding_failed", status: int = 502) -> None:
        super().__init__(code, detail, status)


class Embedder(Protocol):
    """A model that makes vectors. ``name`` is ``provider/name``."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int:
        """The length of its vectors. May ask the endpoint; raises EmbeddingError."""

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """One row of length 1 for each text: float32, (texts, dimensions). Raises EmbeddingError."""


def embedder(name: str = "") -> Embedder:
    """The embedder called ``name`` (EMBEDDING_MODEL where empty), the same one for the life of the process."""
    return make_embedder(name or settings.EMBEDDING_MODEL)


@functools.lru_cache(maxsize=8)
def make_embedder(name: str) -> Embedder:
    return WordllamaEmbedder() if name == EMBEDDED else EndpointEmbedder(name)


def unit_rows(vectors: Any, *, name: str, dimensions: int | None = None) -> "np.ndarray":
    """``vectors`` as float32 rows of length 1.

    Raises EmbeddingError where a row has another dimension, a number that is not finite, or no length at all: such a
    vector is at no distance from anything.
    """
    import numpy as np

    try:
        rows = np.asarray(vectors, dtype=np.float64)
    except (ValueError, TypeError):
        raise EmbeddingError(f"{name} sent vectors of different dimensions.") from None
    if rows.ndim != 2 or not 0 < rows.shape[1] <= MAX_DIMENSIONS:
        raise EmbeddingError(f"{name} sent vectors of a shape that cannot be stored: {rows.shape}.")
    if dimensions is not None and rows.shape[1] != dimensions:
        raise EmbeddingError(f"{name} sent vectors of {rows.shape[1]} dimensions; its own have {dimensions}.")
    with np.errstate(over="ignore", invalid="ignore"):  # told of just below
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise EmbeddingError(f"{name} sent a vector that holds something other than finite numbers.")
    if (lengths < 1e-12).any():
        raise EmbeddingError(f"{name} sent a vector of zeros.")
    units: np.ndarray = (rows / lengths).astype(np.float32)
    return units


class WordllamaEmbedder:
    """Sentence vectors from token vectors inside the wheel: about 25 µs a short sentence, no network, English best."""

    name = EMBEDDED
    dimensions = EMBEDDED_DIMENSIONS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        # A text without a single token has no vector; a space has.
        vectors = self._loaded().embed([text or " " for text in texts], norm=False)
        return unit_rows(vectors, name=self.name, dimensions=self.dimensions)

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                import wordllama

                # It would look for its tokenizer in the home directory and on the network.
                folder = os.path.dirname(wordllama.__file__)
                self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
            return self._model


class EndpointEmbedder:
    """A model behind an OpenAI-compatible embeddings endpoint of a configured provider. An outside one gets questions
    without personal data, and phrasings alike."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._dimensions: int | None = None

    @property
    def dimensions(self) -> int:
        if self._dimensions is None:
            self.embed([_PROBE])
        assert self._dimensions is not None
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        # A text of nothing but spaces is refused by some endpoints.
        wanted = [text if text.strip() else "?" for text in texts]
        if goes_outside([self.name], settings.LLM_PROVIDERS):
            wanted = [redact(text) for text in wanted]
        try:
            vectors = [line_to(self.name).ask(wanted[0])] if len(wanted) == 1 else asyncio.run(self._ask(wanted))
        except LLMError as error:
            raise EmbeddingError(error.detail, code=error.code, status=error.status) from error
        rows = unit_rows(vectors, name=self.name, dimensions=self._dimensions)
        self._dimensions = int(rows.shape[1])
        return rows

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        """The endpoint's vectors of many texts."""
        vectors: list[list[float]] = []
        retries = RetryPolicy(attempts=2)
        async with LLMClient(settings.LLM_PROVIDERS, deadlines=deadlines(), retries=retries) as llm:
            for start in range(0, len(texts), ENDPOINT_BATCH):
                vectors += await llm.embed(self.name, texts[start : start + ENDPOINT_BATCH])
        return vectors
