"""FAQs that ask much the same as one that is being written: so that nothing is said twice, and differently."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from accounts.audience import Visibility
from faqs.embedding import EmbeddingError, embedder
from faqs.models import FAQ
from faqs.retrieval import find_answer
from faqs.state import knowledge_state
from faqs.word_search import sharing_words

if TYPE_CHECKING:
    import numpy as np

LIMIT = 5
DRAFTS = 20  # drafts with words in common that are compared
# Cosines from which on two questions are worth a look, and from which on they are most likely the same.
SIMILAR = 0.55
SAME = 0.8


@dataclass(frozen=True, slots=True)
class Similar:
    """``score`` is a cosine, None where no embedding model is there to tell: then it shares words."""

    faq: FAQ
    phrasing: str
    score: float | None

    @property
    def is_same(self) -> bool:
        return self.score is not None and self.score >= SAME


def similar_faqs(question: str, *, exclude: UUID | None = None) -> list[Similar]:
    """At most five FAQs like ``question``, published or draft, for whomever they are meant; the nearest first."""
    if not question.strip():
        return []
    found = find_answer(question, visibilities=Visibility.values, limit=2 * LIMIT)
    near = {match.faq: (match.phrasing, match.dense) for match in found.matches if (match.dense or 0.0) >= SIMILAR}
    published = FAQ.objects.filter(pk__in=near)
    similar = [Similar(faq, *near[faq.pk]) for faq in published] + _drafts(question, found.vector)
    others = [each for each in similar if each.faq.pk != exclude]
    return sorted(others, key=lambda each: (-(each.score or 0.0), each.faq.question))[:LIMIT]


def _drafts(question: str, vector: "np.ndarray | None") -> list[Similar]:
    """Drafts have no vectors of their own yet, so that those which share words are compared now."""
    drafts = list(sharing_words(FAQ.objects.filter(status=FAQ.Status.DRAFT), question)[:DRAFTS])
    scores = _cosines([draft.question for draft in drafts], vector)
    if scores is None:
        return [Similar(draft, draft.question, None) for draft in drafts]
    similar = [Similar(draft, draft.question, score) for draft, score in zip(drafts, scores, strict=True)]
    return [each for each in similar if each.score is not None and each.score >= SIMILAR]


def _cosines(texts: Sequence[str], vector: "np.ndarray | None") -> list[float] | None:
    model = knowledge_state().model
    if vector is None or model is None or not texts:
        return None
    try:
        return [float(cosine) for cosine in embedder(model.name).embed(texts) @ vector]
    except EmbeddingError:
        return None
