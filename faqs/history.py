"""What an FAQ said before: versions compared, and one of them brought back."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import NotFound
from faqs.content import CONTENT_FIELDS, fields_of
from faqs.locks import lock_shape
from faqs.models import FAQ, Category, FAQVersion
from faqs.services import edit_faq, lock_faq

Kind = Literal["same", "added", "removed"]
_LISTS = ("tags", "phrasings")


class Line(NamedTuple):
    """A line, or an entry of a list, that both versions have, or that came or went."""

    kind: Kind
    text: str


class FieldDiff(NamedTuple):
    """A field that differs, line by line; ``name`` is one of CONTENT_FIELDS or ``phrasings``."""

    name: str
    lines: list[Line]


def diff_versions(old: FAQVersion, new: FAQVersion) -> list[FieldDiff]:
    """The fields in which two versions differ, in the order of CONTENT_FIELDS. Categories stand by name; one query."""
    ids = {version.content.get("category") for version in (old, new)} - {None}
    names = {str(pk): name for pk, name in Category.objects.filter(pk__in=ids).values_list("pk", "name")}
    return diff_content(_shown(old.content, names), _shown(new.content, names))


def diff_content(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldDiff]:
    """The fields in which two contents differ. Pure."""
    return [
        FieldDiff(name, _diff_lines(_lines(old.get(name)), _lines(new.get(name)), is_set=name in _LISTS))
        for name in (*CONTENT_FIELDS, "phrasings")
        if old.get(name) != new.get(name)
    ]


@transaction.atomic
def restore_version(*, faq: FAQ, version: FAQVersion, actor: User | None, expected_version: int | None = None) -> FAQ:
    """Make the content of an earlier version the FAQ's again, under a new number: the history stays a line. Its
    category stays what it is where the old one is gone. The status stays too, so what is published changes at once.

    Raises NotFound for another FAQ's version, and what ``edit_faq`` raises.
    """
    lock_shape(shared=True)
    faq = lock_faq(faq)
    past = FAQVersion.objects.filter(faq=faq, pk=version.pk).first()
    if past is None:
        raise NotFound
    fields = fields_of(past.content)
    category_id = past.content.get("category")
    category = Category.objects.filter(pk=UUID(category_id)).first() if category_id else None
    if category is not None or category_id is None:
        fields["category"] = category
    note = _("Version %(number)d restored") % {"number": past.number}
    before = faq.version
    phrasings = past.content["phrasings"]
    restored = edit_faq(
        faq=faq, actor=actor, note=note, phrasings=phrasings, expected_version=expected_version, **fields
    )
    if restored.version != before:
        record_audit(actor=actor, action="faq.restored", obj=restored, details={"copy_of": past.number})
    return restored


def _shown(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    category = content.get("category")
    return {**content, "category": names.get(category, category) if category else None}


def _lines(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    return [] if value in (None, "") else str(value).split("\n")


def _diff_lines(old: Sequence[str], new: Sequence[str], *, is_set: bool) -> list[Line]:
    if is_set:  # their order means nothing
        before, after = set(old), set(new)
        lines = [Line("removed", text) for text in old if text not in after]
        return lines + [Line("same" if text in before else "added", text) for text in new]
    lines = []
    # Without autojunk, which would take a repeated line of a long answer for noise.
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [Line("same", text) for text in old[i1:i2]]
        else:
            lines += [Line("removed", text) for text in old[i1:i2]]
            lines += [Line("added", text) for text in new[j1:j2]]
    return lines
