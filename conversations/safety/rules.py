"""The moderators' rules, held against text. Pure, without I/O."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from .normalising import SPELT, decoded, plain, undisguised_of_plain, without_repeats, words_of_plain

#: The strongest last. Help in a crisis comes before a refusal.
ACTIONS = ("allow", "flag", "block", "crisis")
INPUT, OUTPUT, BOTH = "input", "output", "both"
# Written without spaces between words: Thai, Lao, Khmer, Japanese, Chinese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# What a word that is not whole yet may be held back: longer ones are none.
MAX_HELD = 64
_WORD_END = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True)
class Rule:
    """A phrase and what is to be done where it is said. ``phrase`` is words; a last ``*`` stands for any ending.
    What an endpoint found has no id and no phrase."""

    id: UUID | None
    phrase: str
    action: str
    stage: str
    category: str


class Hit(NamedTuple):
    """A rule's phrase in a text, as the words ``first`` to ``last``."""

    rule: Rule
    first: int
    last: int


class _Phrases:
    """Phrases by their first word, so that a text costs one look-up a word however many rules there are."""

    def __init__(self, rules: Iterable[Rule], words_of: Callable[[str], list[str]]) -> None:
        self._words_of = words_of
        self._whole: dict[str, list[tuple[Rule, tuple[str, ...], bool]]] = {}
        self._beginnings: dict[str, list[Rule]] = {}
        self._spelt: dict[str, list[Rule]] = {}
        self._unspaced: list[tuple[Rule, str]] = []
        for rule in rules:
            words = tuple(word.removeprefix(SPELT) for word in words_of(plain(rule.phrase)))
            if not words:
                continue
            self._spelt.setdefault(without_repeats("".join(words)), []).append(rule)
            if _UNSPACED.search(rule.phrase):
                self._unspaced.append((rule, "".join(words)))
            elif len(words) == 1 and rule.phrase.endswith("*"):
                self._beginnings.setdefault(words[0], []).append(rule)
            else:
                self._whole.setdefault(words[0], []).append((rule, words, rule.phrase.endswith("*")))
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})

    def hits(self, text: str) -> list[Hit]:
        """All hits in a text as ``plain`` gives it."""
        words = self._words_of(text)
        found: list[Hit] = []
        for place, word in enumerate(words):
            if word.startswith(SPELT):
                word = words[place] = word.removeprefix(SPELT)
                found += (Hit(rule, place, place) for rule in self._spelt.get(word, ()))
            for rule, phrase, is_open in self._whole.get(word, ()):
                last = place + len(phrase) - 1
                said = tuple(words[place : last + 1])
                if said == phrase or (is_open and said[:-1] == phrase[:-1] and said[-1:] and _begins(said, phrase)):
                    found.append(Hit(rule, place, last))
            for length in self._lengths:
                found += (Hit(rule, place, place) for rule in self._beginnings.get(word[:length], ()))
        if self._unspaced:
            joined = "".join(words)
            found += (Hit(rule, 0, len(words)) for rule, phrase in self._unspaced if phrase in joined)
        return found


def _begins(said: Sequence[str], phrase: Sequence[str]) -> bool:
    return len(said) == len(phrase) and said[-1].startswith(phrase[-1])


class RuleSet:
    """Rules in force. ``for_input`` and ``for_output`` say whether there are any for a stage."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self._readings: dict[str, list[_Phrases]] = {}
        for stage in (INPUT, OUTPUT):
            of_stage = [rule for rule in rules if rule.stage in (stage, BOTH)]
            if any(rule.action != "allow" for rule in of_stage):
                self._readings[stage] = [_Phrases(of_stage, words_of_plain), _Phrases(of_stage, undisguised_of_plain)]
        self.longest = max((len(rule.phrase) for rule in rules), default=0)

    @property
    def for_input(self) -> bool:
        return INPUT in self._readings

    @property
    def for_output(self) -> bool:
        return OUTPUT in self._readings

    def strongest(self, text: str, stage: str) -> Rule | None:
        """The rule with the strongest action that ``text`` breaks. Words within an allowed phrase break none. In a
        question, what stands there as base64 counts as well."""
        if stage == INPUT and (hidden := decoded(text)):
            text = f"{text}\n{hidden}"
        text, found = plain(text), None
        for reading in self._readings.get(stage, ()):
            hits = reading.hits(text)
            allowed = [hit for hit in hits if hit.rule.action == "allow"]
            for hit in hits:
                if hit.rule.action == "allow" or any(a.first <= hit.first and hit.last <= a.last for a in allowed):
                    continue
                if found is None or ACTIONS.index(hit.rule.action) > ACTIONS.index(found.action):
                    found = hit.rule
        return found


def _blocks(rule: Rule | None) -> bool:
    return rule is not None and rule.action in ("block", "crisis")


class OutputFilter:
    """Holds streamed text against the rules for what a model says, joined over all pieces.

    A word is shown once it is whole, so that none is judged by its beginning; of a phrase that is blocked the last word
    never is. ``broken`` is the strongest rule so far; once it blocks, nothing more is shown.
    """

    def __init__(self, rules: RuleSet, earlier: str = "") -> None:
        self._rules = rules
        # Letters may stand apart, each with three signs between.
        self._reach = 4 * rules.longest + MAX_HELD
        self._shown = earlier[-self._reach :]
        self._held = ""
        self.broken: Rule | None = None

    @property
    def is_blocked(self) -> bool:
        return _blocks(self.broken)

    def feed(self, piece: str) -> str:
        """What of the text can be shown now that ``piece`` has come."""
        text = self._held + piece
        end = _WORD_END.search(text)
        cut = end.end() if end else 0
        if len(text) - cut > MAX_HELD:
            cut = len(text)
        return self._judged(text[:cut], text[cut:])

    def close(self) -> str:
        """The last word, when nothing more comes."""
        return self._judged(self._held, "")

    def _judged(self, ready: str, held: str) -> str:
        self._held = held
        if not ready or self.is_blocked:
            return ""
        joined = self._shown + ready
        rule = self._rules.strongest(joined, OUTPUT)
        if rule is not None and (self.broken is None or ACTIONS.index(rule.action) > ACTIONS.index(self.broken.action)):
            self.broken = rule
            if _blocks(rule):
                return ""
        self._shown = joined[-self._reach :]
        return ready
