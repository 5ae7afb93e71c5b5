"""What personal data there is: every model, family of Redis keys and place of files says what it holds, how it is
exported, what erasure does with it and how long it is kept.

An app's ``privacy.py`` declares what is the app's own; its AppConfig imports it. A test fails on whatever is declared
nowhere. ``docs/privacy.md``, the record of processing, is written from here (``manage.py privacy_docs``); export,
erasure and retention go by it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.apps import apps
from django.db import models


class DataClass(StrEnum):
    """What kind of data it is. Periods of retention are set for a class."""

    ACCOUNT = "account"  # who somebody is
    CREDENTIAL = "credential"  # what they are signed in with
    CONSENT = "consent"  # what they agreed to, and what they asked for by right
    CONTENT = "content"  # what they wrote, and what was answered
    OPINION = "opinion"  # what they thought of an answer
    QUESTION = "question"  # what they asked in vain, for the editors
    AUTHORSHIP = "authorship"  # what of the organisation's texts they wrote
    RECORD = "record"  # what was done, by whom
    TRAFFIC = "traffic"  # counters and who is here, for minutes


class Basis(StrEnum):
    """Why it may be processed: GDPR Art. 6 (1)."""

    CONTRACT = "contract (b)"
    CONSENT = "consent (a)"
    LEGAL_DUTY = "legal obligation (c)"
    INTEREST = "legitimate interest (f)"


class Erasure(StrEnum):
    """What becomes of a person's rows when they are erased."""

    DELETE = "delete"
    ANONYMISE = "anonymise"  # the row stays, and nothing in it leads to the person
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long it is kept, in words. Where a number of days decides: ``policies`` name it (of
    accounts.retention.policies.POLICIES), and ``since`` is the field that the days count from."""

    rule: str
    policies: Sequence[str] = ()
    since: str = ""


@dataclass(frozen=True, slots=True)
class PersonalData:
    """A model that holds personal data.

    ``about`` and the other texts are English; ``about`` is marked for translation, as people read it.
    ``of`` leads from a row to its person: a lookup, or a function of a person (a User) that gives the condition.
    ``section`` names its part of an export, which holds ``exported``; without, ``not_exported`` says why.
    ``written`` are the fields that hold people's own words, ``fixed`` all other text: names, codes, hashes.
    ``references`` are other fields that lead to a person, with what erasure does to them.
    ``erase`` does what erasure does, a bounded part at a time: it takes the person and says how many rows it changed, 0
    once nothing is left. Without it, rows are deleted in batches, or kept. ``order`` is that of the export;
    ``derived`` are texts that it holds beside the fields, each made of a row. ``told``: whether its person may learn
    that there is any.
    """

    model: type[models.Model]
    about: str
    data_class: DataClass
    purpose: str
    basis: Basis
    of: "str | Callable[[Any], models.Q]"
    erasure: Erasure
    erasure_note: str
    retention: Retention
    section: str = ""
    exported: Sequence[str] = ()
    not_exported: str = ""
    written: Sequence[str] = ()
    fixed: Sequence[str] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    erase: Callable[[Any], int] | None = None
    order: Sequence[str] = ("pk",)
    derived: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    told: bool = True

    @property
    def label(self) -> str:
        """As ``accounts.User``."""
        return self.model._meta.label

    def rows_of(self, person: Any) -> "models.QuerySet[Any]":
        """The rows of ``person``, in ``order``."""
        condition = self.of(person) if callable(self.of) else models.Q(**{self.of: person.pk})
        return self.model._default_manager.filter(condition).order_by(*self.order)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an export that is no model's rows: ``rows`` of a person; ``fields`` are their types in JSON Schema,
    ``words`` what values of a field are called where people read them."""

    name: str
    about: str
    fields: Mapping[str, Mapping[str, Any]]
    rows: Callable[[Any], Iterable[Mapping[str, Any]]]
    words: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """A family of Redis keys. ``pattern`` is Redis' own (``limit:*``).

    ``holds`` says what of a person is in it, "" for nothing. ``erase`` gives the patterns of a person's keys; without
    it, ``kept`` is short enough for the rest.
    """

    pattern: str
    about: str
    holds: str
    kept: str
    erase: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """Files below VAR_DIR, by the name of their place there. ``holds`` is "" where nothing is of a person."""

    place: str
    about: str
    holds: str
    kept: str
    erasure_note: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A model without personal data, and why that is so."""

    model: type[models.Model]
    why: str


_personal: dict[type[models.Model], PersonalData] = {}
_nothing: dict[type[models.Model], Nothing] = {}
_sections: dict[str, Section] = {}
_redis: dict[str, RedisKeys] = {}
_files: dict[str, Files] = {}


def declare(*entries: PersonalData | Nothing | Section | RedisKeys | Files) -> None:
    """Add to the registry. Raises ValueError for what is declared already, or leaves a question open."""
    for entry in entries:
        match entry:
            case PersonalData():
                if bool(entry.section) == bool(entry.not_exported):
                    raise ValueError(f"{entry.label} is exported, or says why not.")
                if entry.erasure is Erasure.ANONYMISE and entry.erase is None:
                    raise ValueError(f"{entry.label} says how it is made anonymous.")
                _add(_personal, entry.model, entry, known=_nothing)
            case Nothing():
                _add(_nothing, entry.model, entry, known=_personal)
            case Section():
                _add(_sections, entry.name, entry)
            case RedisKeys():
                _add(_redis, entry.pattern, entry)
            case Files():
                _add(_files, entry.place, entry)


def _add(place: dict[Any, Any], key: Any, entry: Any, known: Mapping[Any, Any] | None = None) -> None:
    if key in place or key in (known or {}):
        raise ValueError(f"{key} is declared twice.")
    place[key] = entry


def personal_data() -> list[PersonalData]:
    """All declared models, app by app in the order of INSTALLED_APPS, each app's as it declares them."""
    order = {config.label: place for place, config in enumerate(apps.get_app_configs())}
    return sorted(_personal.values(), key=lambda each: order[_app_of(each)])


def erasure_order() -> list[PersonalData]:
    """All declared models, in the order of erasing: an app after those that build on it, people themselves last."""
    order = {config.label: place for place, config in enumerate(apps.get_app_configs())}
    return sorted(_personal.values(), key=lambda each: (each.of == "pk", -order[_app_of(each)]))


def without_personal_data() -> list[Nothing]:
    return sorted(_nothing.values(), key=lambda each: each.model._meta.label)


def sections() -> list[Section]:
    return list(_sections.values())


def redis_keys() -> list[RedisKeys]:
    return sorted(_redis.values(), key=lambda each: each.pattern)


def files() -> list[Files]:
    return sorted(_files.values(), key=lambda each: each.place)


def undeclared_models() -> Iterator[type[models.Model]]:
    """Models of which nothing is said, those of other packages included. A proxy has no rows of its own."""
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.proxy and model not in _personal and model not in _nothing:
            yield model


def _app_of(entry: PersonalData) -> str:
    # What another package's model holds stands with the accounts, which declare it.
    label = entry.model._meta.app_label
    return label if label in ("accounts", "faqs", "personas", "conversations", "analytics") else "accounts"
