"""Questions with their right answers, as CSV: what an evaluation loads and asks. No database."""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faqs.models.catalog import MAX_QUESTION
from faqs.texts import has_words, one_line
from faqs.transfer.files import MAX_CELL

LABEL_COLUMNS = ("label", "category")


class BadEvaluationFile(Exception):
    """A file that cannot be evaluated. The text names the file, the line where there is one, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """A question and the FAQ that answers it. ``label`` is empty for one that none answers."""

    line: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What is loaded, and what is asked. Questions without a label have no answer among the FAQs."""

    faqs: dict[str, list[str]]
    questions: list[Row]


def read_rows(path: Path, *, labelled: bool = True) -> list[Row]:
    """The rows of a UTF-8 CSV file with the columns ``text`` and ``label`` (or ``category``), and any others.

    Where not ``labelled``, a label is neither needed nor read. Raises BadEvaluationFile.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # of the process: an import may have raised it further
    reader = csv.reader(io.StringIO(_decoded(path), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        text_column = _column(path, header, ("text",))
        label_column = _column(path, header, LABEL_COLUMNS) if labelled else -1
        rows = []
        line = reader.line_num + 1
        for values in reader:
            if values:
                if len(values) != len(header):
                    raise _bad(path, f"{len(values)} values under {len(header)} columns", line)
                rows.append(_row(path, line, values[text_column], values[label_column] if labelled else None))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _bad(path, f"not CSV: {error}", reader.line_num) from None
    if not rows:
        raise _bad(path, "there are no rows below the header")
    return rows


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _bad(path, error.strerror or "it cannot be read") from None
    if not raw.strip():
        raise _bad(path, "the file is empty")
    if (at := raw.find(b"\0")) >= 0:
        raise _bad(path, "a NUL character", raw.count(b"\n", 0, at) + 1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(path, "not UTF-8", raw.count(b"\n", 0, error.start) + 1) from None


def _column(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise _bad(path, f"the header has no column {' or '.join(names)}", 1)


def _row(path: Path, line: int, text: str, label: str | None) -> Row:
    text, label = one_line(text), None if label is None else one_line(label)
    if not has_words(text):
        raise _bad(path, "the text is empty", line)
    if len(text) > MAX_QUESTION:
        raise _bad(path, f"the text is longer than {MAX_QUESTION} characters", line)
    if label is not None and (not has_words(label) or len(label) > MAX_QUESTION):
        raise _bad(path, f"the label is {'empty' if not has_words(label) else 'too long'}", line)
    return Row(line, text, label or "")


def _bad(path: Path, what: str, line: int | None = None) -> BadEvaluationFile:
    return BadEvaluationFile(f"{path}{'' if line is None else f':{line}'}: {what}.")


def read_sample(
    *,
    faqs: Path,
    questions: Path,
    out_of_scope: Path | None = None,
    per_faq: int | None = None,
    hide_labels: float = 0.0,
    limit: int | None = None,
    seed: int = 0,
) -> Sample:
    """The FAQs of one file, each label with its phrasings, and the questions of the others.

    ``per_faq`` keeps so many phrasings of each label, ``limit`` so many questions, both drawn by ``seed``.
    ``hide_labels`` leaves that share of the labels out; their questions are asked as questions without an answer.
    Raises BadEvaluationFile, also for a question whose label is no FAQ's.
    """
    loaded: dict[str, list[str]] = {}
    for row in read_rows(faqs):
        loaded.setdefault(row.label, []).append(row.text)
    asked = read_rows(questions)
    for row in asked:
        if row.label not in loaded:
            raise _bad(questions, f"no FAQ has the label {row.label!r}", row.line)
    hidden = _hidden(faqs, sorted(loaded), hide_labels, seed)
    asked = [Row(row.line, row.text, "" if row.label in hidden else row.label) for row in asked]
    if out_of_scope is not None:
        asked += read_rows(out_of_scope, labelled=False)
    if limit is not None and limit < len(asked):
        chosen = sorted(random.Random(seed).sample(range(len(asked)), limit))  # noqa: S311 - a sample, not a secret
        asked = [asked[number] for number in chosen]
    kept = {label: _drawn(texts, per_faq, f"{seed}/{label}") for label, texts in loaded.items() if label not in hidden}
    return Sample(kept, asked)


def _hidden(path: Path, labels: Sequence[str], part: float, seed: int) -> frozenset[str]:
    if not part:
        return frozenset()
    count = max(1, round(part * len(labels)))
    if count >= len(labels):
        raise _bad(path, f"of {len(labels)} labels none would be left")
    return frozenset(random.Random(seed).sample(labels, count))  # noqa: S311


def _drawn(texts: list[str], count: int | None, seed: str) -> list[str]:
    """``count`` of ``texts`` by ``seed``, whatever the other FAQs are; all of them where there are no more."""
    if count is None or count >= len(texts):
        return texts
    return random.Random(seed).sample(texts, count)  # noqa: S311
