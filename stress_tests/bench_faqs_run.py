"""What bench_faqs.py measures, through Django. Run by it in the environment of its database; prints one JSON object."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

from django.db import connection  # noqa: E402

from faqs.embedding import embedder  # noqa: E402
from faqs.first_stage import Filters, as_literal, find_candidates  # noqa: E402
from faqs.indexing import fill_index  # noqa: E402
from faqs.matching import train_and_store  # noqa: E402
from faqs.models import FAQ, EmbeddingModel, Phrasing  # noqa: E402
from faqs.phrasings import as_rows, refresh_search  # noqa: E402
from faqs.retrieval import find_answer  # noqa: E402
from faqs.state import bump_revision  # noqa: E402

from .faq_corpus import MadeFAQ, make_corpus  # noqa: E402

QUERIES = 500
RECALL_QUERIES = 300
NEIGHBOURS = 10
EVERYBODY = ["guests", "staff", "users"]
EXACT = """
    SELECT 1 - (vector <=> %s::vector) AS cosine FROM faqs_embedding WHERE model_id = %s ORDER BY cosine DESC LIMIT %s
"""
RARE = 0.01  # the share of FAQs that a narrow audience may see
CHUNK = 1000


def load(corpus: list[MadeFAQ]) -> float:
    """Store the corpus as published FAQs. Returns the seconds it took."""
    started = time.perf_counter()
    for start in range(0, len(corpus), CHUNK):
        made = corpus[start : start + CHUNK]
        audience = [
            FAQ.objects.model(
                question=one.question,
                answer=one.answer,
                status="published",
                visibility="staff" if (start + number) % round(1 / RARE) == 0 else "guests",
            )
            for number, one in enumerate(made)
        ]
        faqs = FAQ.objects.bulk_create(audience)
        Phrasing.objects.bulk_create(
            row for faq, one in zip(faqs, made, strict=True) for row in as_rows(faq, one.phrasings[1:])
        )
        refresh_search(faqs)
    bump_revision()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE faqs_faq, faqs_phrasing")
    return time.perf_counter() - started


def clocked(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentiles(seconds: list[float]) -> dict[str, float]:
    points = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(points[49] * 1000, 2), "p95_ms": round(points[94] * 1000, 2)}


def cpu_seconds() -> float:
    """Processor time of this process and of its database session so far: what others do on the machine is not in it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(questions: list[tuple[str, str]], visibilities: list[str]) -> dict[str, Any]:
    """Every question once, embedding included: how long it took, and how often its FAQ came first."""
    for question, _ in questions[:20]:
        find_answer(question, visibilities=visibilities)
    seconds, hits, used, cpu = [], 0, 0, cpu_seconds()
    for question, wanted in questions:
        started = time.perf_counter()
        found = find_answer(question, visibilities=visibilities)
        seconds.append(time.perf_counter() - started)
        hits += found.best is not None and found.best.question == wanted
        used += found.matcher_used
    return percentiles(seconds) | {
        "cpu_ms": round((cpu_seconds() - cpu) / len(questions) * 1000, 2),
        "top1": round(hits / len(questions), 4),
        "matcher_used": used == len(questions),
    }


def recall(questions: list[str], phrasings: int) -> float:
    """The share of the ten nearest phrasings, by exact search, that walking the index finds. Of phrasings at the very
    same distance as the tenth, any will do."""
    model = EmbeddingModel.objects.get()
    filters = Filters(tuple(EVERYBODY), None)
    found = 0
    for vector in embedder(model.name).embed(questions):
        with connection.cursor() as cursor:
            cursor.execute(EXACT, [as_literal(vector), model.pk, NEIGHBOURS])
            tenth = cursor.fetchall()[-1][0]
        _, candidates = find_candidates(
            query="", vector=vector, model=model.pk, configuration="english", filters=filters,
            phrasings=phrasings, exact=False,
        )  # fmt: skip
        found += min(NEIGHBOURS, sum((one.dense or 0.0) >= tenth - 1e-7 for one in candidates))
    return round(found / (NEIGHBOURS * len(questions)), 4)


def main(faqs: int, phrasings: int, with_matcher: bool) -> dict[str, Any]:
    corpus = list(make_corpus(faqs, phrasings))
    asked = [(one.asked[0], one.question) for one in corpus[1 :: max(1, len(corpus) // QUERIES)]][:QUERIES]
    narrow = [(one.asked[0], one.question) for one in corpus[:: round(1 / RARE)]]
    result: dict[str, Any] = {"faqs": faqs, "phrasings": faqs * phrasings, "load_s": round(load(corpus), 2)}
    result["embed_and_index_s"] = round(clocked(fill_index), 2)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE faqs_embedding")
    result["first_stage"] = ask(asked, EVERYBODY)
    result["narrow_audience"] = ask(narrow * max(1, 200 // len(narrow)), ["staff"])
    result["recall_at_10"] = recall([question for question, _ in asked[:RECALL_QUERIES]], faqs * phrasings)
    if with_matcher:
        result["train_s"] = round(clocked(train_and_store), 2)
        result["with_matcher"] = ask(asked, EVERYBODY)
    return result


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
