"""What the admin's page of versions shows (templates/admin/versions.html), whatever they are versions of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in the list. ``key`` names it in addresses; ``may_return``: whether it can be put in force again."""

    key: str
    label: str
    at: datetime | None
    author: str
    note: str = ""
    is_in_force: bool = False
    may_return: bool = False


def compared(keys: Sequence[str], query: QueryDict) -> tuple[str, str] | None:
    """The two of ``keys`` that ``?old=&new=`` name, else the newest two; ``None`` where there is but one."""
    old, new = query.get("old", ""), query.get("new", "")
    if old in keys and new in keys:
        return str(old), str(new)
    return (keys[1], keys[0]) if len(keys) > 1 else None
