"""What a conversation is about: a category of the knowledge, whose names are the editors'. Found on this machine."""

from collections.abc import Sequence
from uuid import UUID

from faqs.gaps import sure_match
from faqs.retrieval import find_answer

#: Questions that are looked at: what somebody came for stands at the beginning.
FIRST = 3


def topic_of(questions: Sequence[str], *, visibilities: Sequence[str], language: str) -> UUID | None:
    """The category of the FAQ that answers the first of ``questions`` that the knowledge is sure about; None where
    there is none. No model is asked but the embedded one. Raises Django's database errors."""
    for question in questions[:FIRST]:
        match = sure_match(
            find_answer(question, visibilities=visibilities, language=language or None, limit=1, at_home=True)
        )
        if match is not None and match.category is not None:
            return match.category
    return None
