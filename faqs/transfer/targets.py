"""A row that has met the catalog."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from faqs.models import FAQ
from faqs.transfer.rows import Wish


@dataclass(slots=True)
class Target:
    """A row's FAQ as it will be. ``before`` is what it said, ``None`` where it is new."""

    wish: Wish
    faq: FAQ
    content: dict[str, Any]
    before: dict[str, Any] | None
    was_published: bool
    group_before: UUID
    changed: list[str]

    @property
    def line(self) -> int:
        return self.wish.line

    @property
    def is_new(self) -> bool:
        return self.before is None

    @property
    def says_otherwise(self) -> bool:
        """Whether its content changes, and so its version."""
        return any(name in self.content for name in self.changed)
