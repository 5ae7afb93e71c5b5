"""An export: every FAQ with its phrasings, in a file that an import reads back as the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from faqs.categories import category_paths
from faqs.content import content_of
from faqs.models import FAQ, Category, Phrasing
from faqs.transfer.cells import join_list
from faqs.transfer.files import CategoryEntry, Format, write_csv, write_json
from faqs.transfer.tree import Tree

Paths = Mapping[UUID, Sequence[Category]]


@transaction.atomic
def export_faqs(*, faqs: Iterable[FAQ] | None = None, format: Format = "csv") -> str:
    """``faqs``, or all that there are, archived ones too, as the text of a file, oldest first.

    JSON holds the category tree as well. The versions, owners and feedback of an FAQ stay behind.
    """
    chosen = list(FAQ.objects.order_by("pk") if faqs is None else sorted(faqs, key=lambda faq: faq.pk))
    paths = category_paths()
    entries = _entries(chosen)
    if format == "json":
        for entry in entries:
            entry["category"] = [category.slug for category in paths.get(entry["category"], [])]
        return write_json(entries, [_category(path) for path in paths.values()])
    tree = Tree((path[-1] for path in paths.values()), may_grow=False)
    return write_csv(_cells(entry, paths, tree) for entry in entries)


def _entries(faqs: Sequence[FAQ]) -> list[dict[str, Any]]:
    phrasings: dict[UUID, list[str]] = defaultdict(list)
    rows = Phrasing.objects.filter(faq__in=[faq.pk for faq in faqs], kind=Phrasing.Kind.PHRASING)
    for faq_id, text in rows.order_by("created_at", "id").values_list("faq", "text"):
        phrasings[faq_id].append(text)
    first: dict[UUID, FAQ] = {}  # of each group: what its others are translations of
    entries: list[dict[str, Any]] = []
    for faq in faqs:
        original = first.setdefault(faq.translation_group, faq)
        entries.append(
            content_of(faq, phrasings[faq.pk])
            | {
                "id": str(faq.pk),
                "category": faq.category_id,
                "status": str(faq.status),
                "translation_of": None if original is faq else str(original.pk),
            }
        )
    return entries


def _cells(entry: Mapping[str, Any], paths: Paths, tree: Tree) -> dict[str, str]:
    cells = {name: "" if value is None else value for name, value in entry.items()}
    path = paths.get(entry["category"], [])
    cells["category"] = tree.path_of(path[-1], path[:-1]) if path else ""
    cells["tags"] = join_list(entry["tags"], ", ")
    cells["phrasings"] = join_list(entry["phrasings"], "\n")
    return cells


def _category(path: Sequence[Category]) -> CategoryEntry:
    category = path[-1]
    return CategoryEntry(
        slug=category.slug,
        name=category.name,
        parent=path[-2].slug if len(path) > 1 else None,
        description=category.description,
        position=category.position,
    )
