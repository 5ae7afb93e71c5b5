import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatbot_project.lib.errors import ApplicationError
from faqs.embedding import Embedder, embedder
from faqs.indexing import (
    ensure_index,
    fill,
    filling,
    model_of,
    prune_models,
    published_phrasings,
    switch_model,
    waiting_phrasings,
)
from faqs.matching import train_and_store
from faqs.model_comparison import Question, read_questions, top1
from faqs.models import EmbeddingModel
from faqs.state import knowledge_state

BAR = 30


class Command(BaseCommand):
    help = (
        "Make the vectors of all published phrasings by an embedding model, beside those that serve, and switch to it "
        "once every one is there. Stopped half-way, it goes on where it ended when it is called again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", default="", help="provider/name; EMBEDDING_MODEL where it is left out")
        parser.add_argument(
            "--evaluate",
            type=Path,
            metavar="FILE",
            help="switch only if top-1 is not worse than the model's in force on these questions: a CSV with the "
            "columns text and label (an FAQ's question or id)",
        )
        parser.add_argument("--prune", action="store_true", help="remove the vectors of models that do not serve")

    def handle(self, *args: Any, model: str, evaluate: Path | None, prune: bool, **options: Any) -> None:
        try:
            self._run(model, evaluate)
            if prune:
                for name in prune_models():
                    self.stdout.write(f"{name}: vectors and index removed.")
        except ApplicationError as error:
            raise CommandError(error.detail) from error

    def _run(self, name: str, evaluate: Path | None) -> None:
        questions = read_questions(evaluate) if evaluate is not None else None
        maker = embedder(name)
        maker.embed(["How can we help you?"])  # the endpoint answers, and with vectors: before anything is written
        model = model_of(maker)
        with filling(model):
            self._fill(model, maker)
            ensure_index(model)
            current = knowledge_state().model
            if current is not None and current.pk == model.pk:
                self.stdout.write(f"{model.name} serves already; its vectors are complete.")
                return
            if questions is not None and not self._is_good_enough(questions, model, maker, current):
                return
            while not switch_model(model):  # something was published since
                self._fill(model, maker)
        self.stdout.write(self.style.SUCCESS(f"{model.name} serves from now on."))
        trained = train_and_store()
        if trained is not None:
            self.stdout.write(f"The matcher was trained on {trained.phrasing_count} phrasings.")

    def _fill(self, model: EmbeddingModel, maker: Embedder) -> None:
        bar = Progress(self.stderr, total=published_phrasings().count())
        bar.advance(bar.total - waiting_phrasings(model).count())
        fill(model, maker, progress=bar.advance)
        bar.end()

    def _is_good_enough(
        self, questions: list[Question], model: EmbeddingModel, maker: Embedder, current: EmbeddingModel | None
    ) -> bool:
        """Whether the new model's top-1 is not below the present one's; says both."""
        new = top1(questions, model=model, maker=maker)
        if current is None:
            self.stdout.write(f"Top-1 of {len(questions)} questions: {model.name} {new:.1%}.")
            return True
        old = top1(questions, model=current, maker=embedder(current.name))
        self.stdout.write(
            f"Top-1 of {len(questions)} questions: {current.name} {old:.1%} (serves), {model.name} {new:.1%} (new)."
        )
        if new < old:
            self.stdout.write(self.style.WARNING(f"{current.name} goes on serving; the new vectors are kept."))
        return new >= old


class Progress:
    """A bar on a terminal; elsewhere a line for each tenth."""

    def __init__(self, out: Any, *, total: int) -> None:
        self._out = out
        self.total = total
        self._done = 0
        self._tenth = -1
        self._started = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        share = min(1.0, self._done / self.total) if self.total else 1.0
        if sys.stderr.isatty():
            full = round(share * BAR)
            bar = "█" * full + "·" * (BAR - full)
            self._out.write(f"\r{bar} {self._done}/{self.total} phrasings, {self._seconds():.0f} s", ending="")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._out.write(f"{self._done}/{self.total} phrasings, {self._seconds():.0f} s")

    def end(self) -> None:
        if sys.stderr.isatty():
            self._out.write("")

    def _seconds(self) -> float:
        return time.monotonic() - self._started
