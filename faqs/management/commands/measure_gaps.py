import csv
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from faqs.embedding import EmbeddingError, embedder
from faqs.gap_grouping import measure_grouping, measure_pairs

if TYPE_CHECKING:
    import numpy as np

THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85]


class Command(BaseCommand):
    help = (
        "Show what thresholds of similarity make of questions whose intents are known: a CSV file with the columns "
        "text,category. Use training data; questions that the product is tested with must not choose its settings."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--model", default="", help=f"embedding model (default: {settings.EMBEDDING_MODEL})")
        parser.add_argument("--folds", type=int, default=5, help="parts grouped by themselves; their mean is shown")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS)

    def handle(
        self, *args: Any, file: Path, model: str, folds: int, seed: int, thresholds: list[float], **options: Any
    ) -> None:
        import numpy as np

        texts, intents = _read(file)
        try:
            vectors = embedder(model).embed(texts)
        except EmbeddingError as error:
            raise CommandError(error.detail) from None
        order = np.random.default_rng(seed).permutation(len(texts))
        parts = np.array_split(order, max(folds, 1))
        self.stdout.write("threshold  pairs of one intent  of two   groups  purity  recurring")
        for threshold in thresholds:
            found = [_figures(vectors[part], [intents[i] for i in part], threshold) for part in parts]
            figures = np.mean(found, axis=0)
            self.stdout.write("{:9.2f}  {:18.3f}  {:.4f}  {:6.0f}  {:6.3f}  {:9.3f}".format(threshold, *figures))


def _figures(vectors: "np.ndarray", intents: list[str], threshold: float) -> list[float]:
    pairs = measure_pairs(vectors, intents, threshold)
    grouping = measure_grouping(vectors, intents, threshold)
    return [pairs.same, pairs.other, grouping.groups, grouping.purity, grouping.recurring]


def _read(file: Path) -> tuple[list[str], list[str]]:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise CommandError(f"{file} cannot be read as text,category: {error}") from None
    if len(rows) < 2 or not all(text and intent for text, intent in rows):
        raise CommandError(f"{file}: each row needs a text and a category, and there must be at least two.")
    return [text for text, _ in rows], [intent for _, intent in rows]
