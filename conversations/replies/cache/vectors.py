"""What a question means, as a vector of the embedded model: no question goes to another one for this."""

from faqs.embedding import EMBEDDED, EmbeddingError, embedder
from faqs.first_stage import as_literal


def vector_of(question: str) -> str | None:
    """The vector of a normalised question, as pgvector reads it; None for one that has none. Blocking: the first call
    of a process loads the model."""
    try:
        return as_literal(embedder(EMBEDDED).embed([question])[0])
    except EmbeddingError:
        return None
