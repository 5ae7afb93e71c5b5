"""Every write to the category tree, and how it is read: always a tree, also when two people move at once.

Whoever changes the tree holds it alone until the end of the transaction, so that what was checked stays true.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import connection, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs.locks import lock_shape
from faqs.models import Category
from faqs.state import bump_revision
from faqs.texts import one_line

MAX_SLUG = 80

_DESCENDANTS = """
    WITH RECURSIVE below AS (
        SELECT id FROM faqs_category WHERE slug = ANY(%s) OR id = ANY(%s)
        UNION
        SELECT child.id FROM faqs_category AS child JOIN below ON child.parent_id = below.id
    )
    SELECT id FROM below
"""
_IS_BELOW = """
    WITH RECURSIVE above AS (
        SELECT id, parent_id FROM faqs_category WHERE id = %s
        UNION
        SELECT parent.id, parent.parent_id FROM faqs_category AS parent JOIN above ON parent.id = above.parent_id
    )
    SELECT EXISTS (SELECT 1 FROM above WHERE id = %s)
"""


class CategoryFields(TypedDict, total=False):
    name: str
    description: str
    position: int


# --- Reading ----------------------------------------------------------------------------------------------------------
def descendants(categories: Iterable[str | UUID]) -> set[UUID]:
    """Ids of the named categories (slugs or ids) and of all below them, in one query. Names of none add nothing, so
    that a set without members means: nothing, not everything."""
    wanted = list(categories)
    slugs = [each for each in wanted if isinstance(each, str)]
    with connection.cursor() as cursor:
        cursor.execute(_DESCENDANTS, [slugs, [each for each in wanted if not isinstance(each, str)]])
        return {row[0] for row in cursor.fetchall()}


def category_paths() -> dict[UUID, list[Category]]:
    """Every category's way from its root to itself, in the order of the tree as it is shown. One query."""
    children: dict[UUID | None, list[Category]] = {}
    for category in Category.objects.all():
        children.setdefault(category.parent_id, []).append(category)
    paths: dict[UUID, list[Category]] = {}
    waiting = [[root] for root in reversed(children.get(None, []))]
    while waiting:
        path = waiting.pop()
        paths[path[-1].pk] = path
        waiting += [[*path, child] for child in reversed(children.get(path[-1].pk, []))]
    return paths


# --- Writing ----------------------------------------------------------------------------------------------------------
@transaction.atomic
def create_category(
    *,
    actor: User | None,
    name: str,
    parent: Category | None = None,
    slug: str = "",
    description: str = "",
    position: int = 0,
) -> Category:
    """A new category below ``parent``. Without ``slug`` one is made from the name. Raises ValidationError by field,
    NotFound where the parent is gone."""
    lock_shape()
    if parent is not None:
        parent = _stored(parent)
    slug = slug or free_slug(name, taken=set(Category.objects.values_list("slug", flat=True)))
    category = _fill(
        Category(slug=slug, parent=parent), {"name": name, "description": description, "position": position}
    )
    category.save()
    record_audit(actor=actor, action="category.created", obj=category)
    return category


@transaction.atomic
def edit_category(*, category: Category, actor: User | None, **fields: Unpack[CategoryFields]) -> Category:
    """Give a category another name, description or position. Its slug stays, for addresses and personas name it."""
    lock_shape()
    category = _fill(_stored(category), fields)
    category.save(update_fields=list(fields))
    record_audit(actor=actor, action="category.edited", obj=category, details={"fields": sorted(fields)})
    return category


@transaction.atomic
def move_category(*, category: Category, parent: Category | None, actor: User | None) -> Category:
    """Hang a category, with all below it, under ``parent``, or make it a root.

    Raises ApplicationError ``category_cycle`` (409) where ``parent`` is the category itself or below it.
    """
    lock_shape()
    category = _stored(category)
    if parent is not None:
        with connection.cursor() as cursor:
            cursor.execute(_IS_BELOW, [_stored(parent).pk, category.pk])
            if cursor.fetchone()[0]:
                raise ApplicationError("category_cycle", _("A category cannot stand below itself."), status=409)
    if category.parent_id != (parent.pk if parent else None):
        category.parent = parent
        category.save(update_fields=["parent"])
        details = {"parent": str(parent.pk) if parent else None}
        record_audit(actor=actor, action="category.moved", obj=category, details=details)
        bump_revision()  # a persona that answers from a branch now has other FAQs
    return category


@transaction.atomic
def delete_category(*, category: Category, actor: User | None) -> None:
    """Remove an empty category. Raises ApplicationError ``category_not_empty`` (409) while there are categories or FAQs
    in it, archived ones too."""
    lock_shape()
    category = _stored(category)
    if category.children.exists() or category.faqs.exists():
        detail = _("Move or delete what is in this category first.")
        raise ApplicationError("category_not_empty", detail, status=409)
    record_audit(actor=actor, action="category.deleted", obj=category)
    category.delete()


def free_slug(name: str, *, taken: Container[str]) -> str:
    """A slug for ``name`` that is not in ``taken``: numbered from the second on; ``category`` where the name has no
    Latin letter or digit."""
    base = slugify(one_line(name))[: MAX_SLUG - 6].strip("-_") or "category"
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _fill(category: Category, fields: Mapping[str, Any]) -> Category:
    for field, value in fields.items():
        setattr(category, field, one_line(value) if isinstance(value, str) else value)
    # The slug's uniqueness is checked under the lock of the tree, so that nobody takes it in between.
    category.full_clean(exclude=["parent"], validate_constraints=False)
    return category


def _stored(category: Category) -> Category:
    found = Category.objects.filter(pk=category.pk).first()
    if found is None:
        raise NotFound(_("This category is gone."))
    return found
