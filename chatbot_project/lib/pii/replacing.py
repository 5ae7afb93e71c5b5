"""Personal data out of what a model reads, and back into what it says. Pure, without I/O.

A ``Pseudonyms`` belongs to one request to a model: the same value has the same number throughout it, and nothing of it
is kept afterwards.
"""

import re
from collections.abc import Mapping

from .finding import find
from .kinds import Kind

_NUMBERED = re.compile(rf"\[(?P<kind>{'|'.join(kind.value for kind in Kind)}) [0-9]{{1,9}}\]")
_INSIGNIFICANT = re.compile(r"[\W_]+")

#: What a model has to know of it, behind the system prompt.
NOTE = (
    "Personal data was taken out of the messages. Placeholders such as {example} stand for it. Where you need one, "
    "write it exactly so. Never guess what it stands for, and do not mention that it is a placeholder."
)


class Pseudonyms:
    """What stands for what in one request: ``[E-MAIL 1]``, ``[PHONE 1]``, ``[PHONE 2]`` …"""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._counts = dict.fromkeys(Kind, 0)

    def __bool__(self) -> bool:
        """Whether anything was taken out."""
        return bool(self.values)

    @property
    def note(self) -> str:
        """What to tell the model of the placeholders; empty where there are none."""
        return NOTE.format(example=next(iter(self.values))) if self.values else ""

    def take_out(self, text: str) -> str:
        """``text`` with a placeholder for each find. Somebody's own ``[E-MAIL 1]`` gets one as well, so that it means
        nobody else's address."""
        found = [(start, end, kind, False) for start, end, kind in find(text)]
        if "[" in text:
            found = _with_literals(text, found)
        if not found:
            return text
        parts: list[str] = []
        position = 0
        for start, end, kind, literal in found:
            parts += [text[position:start], self._placeholder(kind, text[start:end], literal)]
            position = end
        return "".join([*parts, text[position:]])

    def put_back(self, text: str) -> str:
        """``text`` with the values in place of their placeholders; those it does not know stay."""
        return _filled(text, self.values) if self.values and "[" in text else text

    def restorer(self) -> "Restorer | None":
        """What puts the values back into text that comes in pieces; ``None`` where nothing was taken out."""
        return Restorer(self.values) if self.values else None

    def _placeholder(self, kind: Kind, value: str, literal: bool) -> str:
        # One address or number, however it is written; a key is another with every sign.
        same = value if literal or kind is Kind.KEY else _INSIGNIFICANT.sub("", value).casefold()
        if kind is Kind.EMAIL and not literal:
            same = value.casefold()
        placeholder = self._placeholders.get((kind, same))
        if placeholder is None:
            self._counts[kind] += 1
            placeholder = self._placeholders[kind, same] = f"[{kind.value} {self._counts[kind]}]"
            self.values[placeholder] = value
        return placeholder


_Found = tuple[int, int, Kind, bool]


def _with_literals(text: str, found: list[_Found]) -> list[_Found]:
    literals = [(m.start(), m.end(), Kind(m["kind"]), True) for m in _NUMBERED.finditer(text)]
    free = [
        own for own in literals if not any(own[0] < end and start < own[1] for start, end, _kind, _literal in found)
    ]
    return sorted([*found, *free]) if free else found


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NUMBERED.sub(lambda match: values.get(match[0], match[0]), text)


class Restorer:
    """Puts values back into streamed text. At most the beginning of one placeholder is held back, until it is whole or
    turns out to be none."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._longest = max(map(len, values))
        self.held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now that ``piece`` has come; perhaps nothing."""
        if not self.held and "[" not in piece:
            return piece
        text = self.held + piece
        cut = text.rfind("[")
        tail = text[cut:] if cut >= 0 else ""
        is_beginning = (
            bool(tail)
            and len(tail) < self._longest
            and any(placeholder.startswith(tail) for placeholder in self._values)
            and tail not in self._values
        )
        self.held = tail if is_beginning else ""
        return _filled(text[:cut] if is_beginning else text, self._values)

    def close(self) -> str:
        """What was held back, when nothing more comes."""
        held, self.held = self.held, ""
        return held
