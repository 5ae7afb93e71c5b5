"""How often the word lists are right, measured on sentences that were labelled by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analytics.moods.sentiment import Sentiment, sentiment_of


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``right`` of ``sentences``; of those ``without_feeling``, how many were ``left_alone``; of those
    ``with_feeling``, in how many it was ``found``; and how often one was ``told`` at all, rightly or not."""

    sentences: int
    right: int
    without_feeling: int
    left_alone: int
    with_feeling: int
    found: int
    told: int


def read_labelled(path: Path) -> list[tuple[Sentiment, str]]:
    """Lines of label, tab and sentence. Raises ValueError for any other, OSError where there is no file."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        label, tab, text = line.partition("\t")
        if not tab or not text.strip():
            raise ValueError(f"{path.name}: a line is a label, a tab and a sentence, not {line!r}.")
        rows.append((Sentiment(label), text))
    return rows


def measure(rows: Iterable[tuple[Sentiment, str]], language: str) -> Accuracy:
    pairs = [(label, sentiment_of([text], language)) for label, text in rows]
    without = [said for label, said in pairs if label == Sentiment.NEUTRAL]
    having = [(label, said) for label, said in pairs if label != Sentiment.NEUTRAL]
    return Accuracy(
        sentences=len(pairs),
        right=sum(label == said for label, said in pairs),
        without_feeling=len(without),
        left_alone=without.count(Sentiment.NEUTRAL),
        with_feeling=len(having),
        found=sum(label == said for label, said in having),
        told=sum(said in (Sentiment.NEGATIVE, Sentiment.POSITIVE) for _label, said in pairs),
    )
