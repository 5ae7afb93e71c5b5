"""The policies that people are asked to agree to: versions of a text, in languages, as files that an operator writes.

``POLICIES_DIR/<purpose>/<version>.<language>.md``, such as ``policies/improvement/2.de.md``: a heading, which is the
question that is asked, and below it what it means, in Markdown. The highest version is in force. A version that was in
force is never edited: people agreed to its words, whose hash the ledger keeps.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import get_language

from accounts.models import Purpose

_NAME = re.compile(r"([1-9][0-9]{0,5})\.([a-z]{2}(?:-[a-z]+)?)\.md\Z")


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy in one language. ``title`` is the question, ``body`` Markdown."""

    language: str
    title: str
    body: str
    digest: str


@dataclass(frozen=True, slots=True)
class Policy:
    """The version in force of a purpose's policy."""

    purpose: Purpose
    version: int
    texts: Mapping[str, PolicyText]

    def text(self, language: str = "") -> PolicyText:
        """In ``language``, by default the one that is spoken; else in the installation's own."""
        code = (language or get_language() or "").lower()
        found = self.texts.get(code) or self.texts.get(code.partition("-")[0])
        return found or self.texts[settings.LANGUAGE_CODE]


def is_asked(purpose: str) -> bool:
    """Whether people are asked for it here: what the operator does not do, nobody need agree to."""
    return purpose != Purpose.INSIGHTS or settings.CONVERSATION_INSIGHTS


def policies() -> list[Policy]:
    """Those in force, one for each purpose that is asked for. Raises ImproperlyConfigured where one is missing."""
    return [policy_of(purpose) for purpose in Purpose if is_asked(purpose)]


def policy_of(purpose: str) -> Policy:
    """The one in force. Raises ImproperlyConfigured where there is none."""
    return _read(Path(settings.POLICIES_DIR), Purpose(purpose))


@lru_cache(maxsize=8)
def _read(folder: Path, purpose: Purpose) -> Policy:
    place = folder / purpose.value
    versions: dict[int, dict[str, PolicyText]] = {}
    for path in sorted(place.glob("*.md")):
        if name := _NAME.match(path.name):
            versions.setdefault(int(name[1]), {})[name[2]] = _text(name[2], path.read_text(encoding="utf-8"))
    newest = max(versions, default=0)
    if settings.LANGUAGE_CODE not in versions.get(newest, {}):
        raise ImproperlyConfigured(f"{place} holds no policy in the language {settings.LANGUAGE_CODE}.")
    return Policy(purpose, newest, versions[newest])


def _text(language: str, content: str) -> PolicyText:
    heading, _line, body = content.strip().partition("\n")
    return PolicyText(language, heading.lstrip("# ").strip(), body.strip(), sha256(content.encode()).hexdigest())
