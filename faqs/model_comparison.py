"""How well an embedding model finds the right FAQ, model beside model, for questions whose answer is known."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from accounts.audience import Visibility
from chatbot_project.lib.errors import ApplicationError
from faqs.embedding import Embedder
from faqs.first_stage import Filters, find_candidates
from faqs.languages import search_configuration
from faqs.models import FAQ, EmbeddingModel, Phrasing
from faqs.ranking import rank_candidates
from faqs.texts import one_line

EVERYBODY = Filters(tuple(sorted(Visibility.values)), None)


class BadQuestions(ApplicationError):
    """The file of questions cannot be used; the detail names the row."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_questions", detail)


@dataclass(frozen=True, slots=True)
class Question:
    """``faqs`` are the published FAQs that ``text`` may be answered with: one, or several that ask the same."""

    text: str
    faqs: frozenset[UUID]


def read_questions(path: Path) -> list[Question]:
    """The rows of a CSV with the columns ``text`` and ``label``, an FAQ's question or its id. Raises BadQuestions."""
    by_label: dict[str, set[UUID]] = {}
    for pk, question in FAQ.objects.in_force().values_list("pk", "question"):
        by_label.setdefault(str(pk), set()).add(pk)
        by_label.setdefault(question.casefold(), set()).add(pk)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadQuestions(f"{path} cannot be read: {error}") from None
    questions = []
    for number, row in enumerate(rows, start=2):
        text, label = one_line(row.get("text") or ""), one_line(row.get("label") or "")
        if not text:
            raise BadQuestions(f"{path}, line {number}: the column text is missing or empty.")
        if label.casefold() not in by_label:
            raise BadQuestions(f"{path}, line {number}: the label is neither the question nor the id of a valid FAQ.")
        questions.append(Question(text, frozenset(by_label[label.casefold()])))
    if not questions:
        raise BadQuestions(f"{path} holds no question.")
    return questions


def top1(questions: Sequence[Question], *, model: EmbeddingModel, maker: Embedder) -> float:
    """The share of ``questions`` whose FAQ comes first by ``model``, without a matcher. Raises EmbeddingError."""
    language_of = dict(FAQ.objects.values_list("pk", "language"))
    phrasings = Phrasing.objects.count()
    vectors = maker.embed([question.text for question in questions])
    hits = 0
    for question, vector in zip(questions, vectors, strict=True):
        language = min(language_of[faq] for faq in question.faqs)
        _, candidates = find_candidates(
            query=question.text,
            vector=vector,
            model=model.pk,
            configuration=search_configuration(language),
            filters=EVERYBODY,
            phrasings=phrasings,
            exact=False,
        )
        ranked = rank_candidates(candidates, language=language)
        hits += bool(ranked) and ranked[0].faq in question.faqs
    return hits / len(questions)
