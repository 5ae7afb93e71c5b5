"""The category tree while an import looks its paths up, and grows it where it may. No database."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from faqs.categories import free_slug
from faqs.models import Category
from faqs.texts import one_line
from faqs.transfer.files import BadImportFile, CategoryEntry

MAX_NEW = 10_000


class Tree:
    """``new`` are the categories that are to be made, parents first; without ``may_grow`` there are none."""

    def __init__(self, categories: Iterable[Category], *, may_grow: bool) -> None:
        self.new: list[Category] = []
        self._may_grow = may_grow
        self._by_id: dict[UUID, Category] = {}
        self._by_slug: dict[str, Category] = {}
        self._by_name: dict[tuple[UUID | None, str], list[Category]] = {}
        for category in categories:
            self._know(category)

    def find(self, path: Sequence[str]) -> Category | None:
        """The category at the end of ``path``, of slugs or names from a root on; ``None`` for an empty path. Raises
        ValidationError for one that is not there and may not be made, or that could be several."""
        category: Category | None = None
        for depth, name in enumerate(path, 1):
            found = self._child(category, name)
            if found is None and not self._may_grow:
                missing = "/".join(path[:depth])[:200]
                raise ValidationError(_("There is no category “%(path)s”."), params={"path": missing})
            category = found or self._grow(Category(name=name, parent=category))
        return category

    def path_of(self, category: Category, ancestors: Sequence[Category]) -> str:
        """The path that leads to ``category``, by names where they can be told apart and made again from the path."""
        steps: list[str] = []
        parent: Category | None = None
        for step in [*ancestors, category]:
            is_plain = "/" not in step.name and one_line(step.name) == step.name
            is_plain = is_plain and free_slug(step.name, taken=()) == step.slug
            same_name = self._by_name[parent.pk if parent else None, step.name.casefold()]
            steps.append(step.name if is_plain and len(same_name) == 1 else step.slug)
            parent = step
        return "/".join(steps)

    def new_paths(self) -> list[str]:
        """The names that lead to each category of ``new``."""
        paths: list[str] = []
        for category in self.new:
            names = [category.name]
            above = category.parent_id
            while above is not None:
                names.append(self._by_id[above].name)
                above = self._by_id[above].parent_id
            paths.append("/".join(reversed(names)))
        return paths

    def add(self, entries: Sequence[CategoryEntry]) -> None:
        """Make the categories of a JSON file that are not there by slug; those that are stay as they are. Raises
        BadImportFile for those that hang on nothing, or on one another."""
        if not self._may_grow:
            return
        below: dict[str | None, list[CategoryEntry]] = {}
        missing = {entry.slug: entry for entry in entries if entry.slug not in self._by_slug}
        if len({entry.slug for entry in entries}) != len(entries):
            raise BadImportFile(_("The file has a category twice."))
        for entry in missing.values():
            below.setdefault(entry.parent or None, []).append(entry)
        waiting: list[str | None] = [None, *self._by_slug]
        while waiting:
            slug = waiting.pop()
            for entry in below.pop(slug, ()):
                self._add(entry, self._by_slug[slug] if slug else None)
                waiting.append(entry.slug)
        if below:
            lost = next(iter(below.values()))[0].slug
            raise BadImportFile(_("The category “%s” hangs on none that is known.") % lost[:80])

    def _add(self, entry: CategoryEntry, parent: Category | None) -> None:
        values = {"description": one_line(entry.description), "position": entry.position}
        try:
            self._grow(Category(slug=entry.slug, name=one_line(entry.name), parent=parent, **values))
        except ValidationError as error:
            detail = _("The category “%(slug)s”: %(reason)s") % {
                "slug": entry.slug[:80], "reason": " ".join(error.messages),
            }  # fmt: skip
            raise BadImportFile(detail) from None

    def _child(self, parent: Category | None, name: str) -> Category | None:
        parent_id = parent.pk if parent else None
        by_slug = self._by_slug.get(name)
        if by_slug is not None and by_slug.parent_id == parent_id:
            return by_slug
        found = self._by_name.get((parent_id, name.casefold()), [])
        if len(found) > 1:
            raise ValidationError(_("Several categories are called “%(name)s”: give the slug."), params={"name": name})
        return found[0] if found else None

    def _grow(self, category: Category) -> Category:
        if len(self.new) == MAX_NEW:
            raise ValidationError(_("At most %(count)d new categories."), params={"count": MAX_NEW})
        category.slug = category.slug or free_slug(category.name, taken=self._by_slug)
        category.full_clean(exclude=["parent"], validate_unique=False, validate_constraints=False)
        self.new.append(category)
        self._know(category)
        return category

    def _know(self, category: Category) -> None:
        self._by_id[category.pk] = category
        self._by_slug[category.slug] = category
        self._by_name.setdefault((category.parent_id, category.name.casefold()), []).append(category)
