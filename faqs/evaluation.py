"""How well the FAQ would be found: labelled questions asked of the product's own retrieval, beside the live knowledge.

What is measured is ``faqs.retrieval.find_answer`` itself, first as it serves while no matcher is trained, then with the
matcher, each question alone, as a reader's is. Nothing is tuned here, and nothing is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.audience import Visibility
from faqs.evaluation_files import Row, Sample
from faqs.indexing import fill_index
from faqs.matcher.metrics import expected_calibration_error, mean_reciprocal_rank, top_k
from faqs.matching import train_and_store
from faqs.models import FAQ, KnowledgeState, Phrasing
from faqs.phrasings import as_rows, refresh_search
from faqs.retrieval import find_answer
from faqs.scratch import scratch_database
from faqs.texts import distinct

LIMIT = 10  # FAQs asked for; a right one below them counts 0 in the mean reciprocal rank
LANGUAGE = "en"
WARM_UP = 20  # questions asked before the clock runs: the first ones load the models and plan the statements
BATCH = 2000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back for one question. ``label`` is the right FAQ's, empty where there is none; ``labels`` are those
    that were found, the best first; ``confidence`` is that of the first, 0 without one."""

    label: str
    labels: list[str]
    confidence: float
    fell_back: bool
    milliseconds: float

    @property
    def is_right(self) -> bool:
        return self.labels[:1] == [self.label]


def evaluate(sample: Sample, *, progress: Progress | None = None) -> dict[str, Any]:
    """The figures of ``report`` for ``retrieval`` and ``matcher``, beside what was asked and how long it took to make.

    Runs in a scratch schema of the configured database. ``progress`` is told the step, how far it is, and of how many.
    Raises ApplicationError, Django's database errors.
    """
    tell = progress or (lambda step, done, total: None)
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        tell(step, 0, 1)
        began = perf_counter()
        result = work()
        seconds[step] = round(perf_counter() - began, 2)
        tell(step, 1, 1)
        return result

    with scratch_database():
        labels = timed("load", lambda: load(sample.faqs))
        timed("index", prepare_index)
        without = ask(sample.questions, labels, lambda done: tell("retrieval", done, len(sample.questions)))
        timed("train", train_and_store)
        within = ask(sample.questions, labels, lambda done: tell("matcher", done, len(sample.questions)))
    return {
        "retrieval": report(without),
        "matcher": report(within),
        "direct": {
            "confidence": settings.FAQ_DIRECT_CONFIDENCE,
            "retrieval": report_direct(without),
            "matcher": report_direct(within),
        },
        "size": {
            "faqs": len(sample.faqs),
            "phrasings": sum(map(len, sample.faqs.values())),
            "questions": sum(bool(row.label) for row in sample.questions),
            "out_of_scope": sum(not row.label for row in sample.questions),
        },
        "seconds": seconds,
    }


def load(faqs: dict[str, list[str]]) -> dict[UUID, str]:
    """Publish an FAQ for each label, whose question is the label and whose phrasings are the texts; the label of each
    FAQ by its id. Tells nobody: the services would have the live knowledge's workers look."""
    now = timezone.now()
    rows: list[tuple[FAQ, list[Phrasing]]] = []
    for label, texts in faqs.items():
        question = label.replace("_", " ")
        faq = FAQ(
            question=question,
            answer=question,
            language=LANGUAGE,
            status=FAQ.Status.PUBLISHED,
            visibility=Visibility.GUESTS,
            published_at=now,
        )
        rows.append((faq, as_rows(faq, [text for text in distinct(texts) if text != question])))
    with transaction.atomic():
        FAQ.objects.bulk_create([faq for faq, _phrasings in rows])
        Phrasing.objects.bulk_create([each for _faq, phrasings in rows for each in phrasings], batch_size=BATCH)
        refresh_search([faq for faq, _phrasings in rows])
        KnowledgeState.objects.create(revision=int(now.timestamp()))
    return {faq.pk: label for (faq, _phrasings), label in zip(rows, faqs, strict=True)}


def prepare_index() -> None:
    """Embed and index what was loaded, and have PostgreSQL know its new tables as it knows the live ones."""
    fill_index()
    with connection.cursor() as cursor:
        for table in ("faqs_faq", "faqs_phrasing", "faqs_embedding", "faqs_knowledgestate"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def ask(questions: Sequence[Row], labels: dict[UUID, str], tell: Callable[[int], None]) -> list[Asked]:
    """Every question's answer, one after the other."""
    for row in questions[:WARM_UP]:
        find_answer(row.text, visibilities=[Visibility.GUESTS], limit=LIMIT)
    answers = []
    for number, row in enumerate(questions, 1):
        answers.append(ask_one(row, labels))
        if number % 50 == 0 or number == len(questions):
            tell(number)
    return answers


def ask_one(row: Row, labels: dict[UUID, str]) -> Asked:
    began = perf_counter()
    found = find_answer(row.text, visibilities=[Visibility.GUESTS], limit=LIMIT)
    milliseconds = (perf_counter() - began) * 1000
    confidence = found.best.confidence if found.best else 0.0
    given = [labels[match.faq] for match in found.matches]
    return Asked(row.label, given, confidence, found.is_below_floor, milliseconds)


def report(answers: Sequence[Asked]) -> dict[str, float | None]:
    """The figures by their names, in fractions from 0 to 1 and milliseconds; None where nothing was asked that would
    show them. All but ``oos_recall`` and the times are of the questions that have an answer."""
    known = [asked for asked in answers if asked.label]
    unknown = [asked for asked in answers if not asked.label]
    given, right = [asked.labels for asked in known], [asked.label for asked in known]
    confidences = [asked.confidence for asked in known]
    times = sorted(asked.milliseconds for asked in answers)
    figures = {
        "top1": top_k(given, right, k=1) if known else None,
        "top3": top_k(given, right, k=3) if known else None,
        "mrr": mean_reciprocal_rank(given, right) if known else None,
        "fallback_rate": share([asked.fell_back for asked in known]),
        "oos_recall": share([asked.fell_back for asked in unknown]),
        "ece": expected_calibration_error(confidences, [asked.is_right for asked in known]) if known else None,
        "p50_ms": percentile(times, 50),
        "p95_ms": percentile(times, 95),
    }
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def report_direct(answers: Sequence[Asked]) -> dict[str, float | None]:
    """What a persona that answers directly would do: ``coverage`` is the share of the questions that have an answer
    for which no model is called, ``precision`` the share of direct answers that are right, those to questions without
    an answer counted as wrong, and ``oos_answered`` the share of the questions without an answer that get one."""
    known = [asked for asked in answers if asked.label]
    unknown = [asked for asked in answers if not asked.label]
    figures = {
        "coverage": share([_is_direct(asked) for asked in known]),
        "precision": share([asked.is_right for asked in answers if _is_direct(asked)]),
        "oos_answered": share([_is_direct(asked) for asked in unknown]),
    }
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def _is_direct(asked: Asked) -> bool:
    return asked.confidence >= settings.FAQ_DIRECT_CONFIDENCE and not asked.fell_back


def share(outcomes: Sequence[bool]) -> float | None:
    """How many of ``outcomes`` are true, as a fraction; None without any."""
    return sum(outcomes) / len(outcomes) if outcomes else None


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The first of the ``ordered`` values that ``percent`` per cent of them do not exceed; None without any."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None
