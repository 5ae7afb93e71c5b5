"""What changed from one version to another. Pure."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Line(NamedTuple):
    """A line that both sides have, or that came or went."""

    kind: Literal["same", "added", "removed"]
    text: str


class FieldDiff(NamedTuple):
    """A field whose value differs, line by line."""

    name: str
    lines: list[Line]


def diff_content(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldDiff]:
    """The fields of ``new`` that differ from ``old``, in their order."""
    return [FieldDiff(name, _diff_lines(old.get(name), value)) for name, value in new.items() if old.get(name) != value]


def _diff_lines(old: Any, new: Any) -> list[Line]:
    before, after = as_lines(old), as_lines(new)
    lines: list[Line] = []
    # Without autojunk, which would take a repeated line of a long prompt for noise.
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [Line("same", text) for text in before[i1:i2]]
        else:
            lines += [Line("removed", text) for text in before[i1:i2]]
            lines += [Line("added", text) for text in after[j1:j2]]
    return lines


def as_lines(value: Any) -> list[str]:
    """A field's value as the lines that show it."""
    if isinstance(value, list):
        return [str(item) for item in value]
    return [] if value in (None, "") else str(value).split("\n")
