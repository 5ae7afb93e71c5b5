"""What shows who somebody is: a browser's session, a family of tokens, or an API key."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from uuid import UUID

from accounts.scopes import ALL_SCOPES, Scope


class Kind(StrEnum):
    SESSION = "session"
    FAMILY = "family"
    API_KEY = "key"


@dataclass(frozen=True, slots=True)
class Credential:
    """``id`` is a session's key, or the id of a RefreshFamily or ApiKey. ``scopes`` is all but for an API key."""

    kind: Kind
    id: str
    scopes: frozenset[Scope] = ALL_SCOPES

    @property
    def name(self) -> str:
        """Tells it from every other, of whatever kind. A session's key is a secret, so this is one too."""
        return f"{self.kind}:{self.id}"

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The credential of that ``name``, with all scopes."""
        kind, _, own = name.partition(":")
        return cls(Kind(kind), own)

    @property
    def uuid(self) -> UUID:
        """The id of a family or an API key. Raises ValueError for a session."""
        return UUID(self.id)
