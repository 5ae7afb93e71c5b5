"""What a question means, as a vector of the embedded model: no question goes to another one for this."""

from django.conf import settings

from faqs.embedding import EMBEDDED, EmbeddingError, embedder
from faqs.first_stage import as_literal
from personas.models import PersonaVersion


def vector_of(question: str) -> str | None:
    """The vector of a normalised question, as pgvector reads it; None for one that has none. Blocking: the first call
    of a process loads the model."""
    try:
        return as_literal(embedder(EMBEDDED).embed([question])[0])
    except EmbeddingError:
        return None


def warm_up() -> None:
    """Load what that takes (about a second), where a persona in force gives replies again. Raises Django's database
    errors."""
    published = PersonaVersion.objects.filter(published_as__archived_at=None, published_as__isnull=False)
    if settings.RESPONSE_CACHE_NEAR and published.filter(cache_hours__gt=0).exists():
        vector_of("where do i begin")
