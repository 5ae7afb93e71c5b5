"""Who calls in a fuzzing run, made in the product's own database. Import it once that stands in the environment."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import django

django.setup()

from django.db import connections  # noqa: E402

from accounts import api_keys, families  # noqa: E402
from accounts.models import User  # noqa: E402
from accounts.scopes import Scope  # noqa: E402
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user  # noqa: E402
from chatbot_project.lib.redis import blocking_redis  # noqa: E402
from conversations.tests.factories import make_conversation  # noqa: E402
from faqs.tests.factories import make_category, make_faq  # noqa: E402
from faqs.tests.test_gaps import gap_of  # noqa: E402

T = TypeVar("T")
_MAKE: Mapping[str, Callable[[], User]] = {
    "user": make_user,
    "moderator": make_moderator,
    "admin": make_admin,
    "guest": make_guest,
}


class People:
    """One person of each role, replaced when a request has closed their account."""

    def __init__(self) -> None:
        self._people: dict[str, UUID] = {}
        self._tokens: dict[str, str] = {}
        self._words: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        _unit(self._write_down)

    def _write_down(self) -> None:
        """Some knowledge."""
        category = make_category("fuzz")
        found = [make_faq(category=category), make_faq(language="de"), make_faq(published=False)]
        gaps = [gap_of("Where is the pin?"), gap_of("Who painted the moon yellow?")]
        self._words = {
            "faq_id": [str(faq.pk) for faq in found],
            "other_id": [str(faq.pk) for faq in found],
            "gap_id": [str(gap.pk) for gap in gaps],
            "slug": [category.slug],
            "number": ["1", "2"],
        }

    def token(self, caller: str) -> str:
        """An access token that is good."""
        with self._lock:
            return _unit(lambda: self._token(caller))

    def _token(self, caller: str) -> str:
        known = self._tokens.get(caller, "")
        if not known or families.person_of(known) is None:
            person = self._living(caller) or self._move_in(caller)
            self._tokens[caller] = families.open_family(user=person, device="fuzz").access
        return self._tokens[caller]

    def _living(self, caller: str) -> User | None:
        known = self._people.get(caller)
        return None if known is None else User.objects.filter(pk=known, is_active=True).first()

    def _move_in(self, caller: str) -> User:
        person = _MAKE[caller]()
        self._people[caller] = person.pk
        conversation = make_conversation(person, turns=2)
        messages = [str(pk) for pk in conversation.messages.values_list("pk", flat=True)]
        family = families.open_family(user=person, device="elsewhere").family
        self._words |= {
            "conversation_id": [str(conversation.pk)],
            "message_id": messages,
            "session_id": [str(family.pk)],
            "user_id": [str(person.pk)],
        }
        if not person.is_guest:
            key, _text = api_keys.create_key(user=person, name="fuzz", scopes=list(Scope))
            self._words["key_id"] = [str(key.pk)]
        return person

    def forget_tries(self) -> None:
        """As if nobody had tried to sign in or asked for a mail: those limits are fixed, and would hide the rest."""
        client = blocking_redis()
        tries = list(client.scan_iter("limit:*", count=1000))
        if tries:
            client.delete(*tries)

    def words(self) -> Mapping[str, Sequence[str]]:
        """Values that are somebody's, by the name of the parameter in paths."""
        return self._words


def _unit(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()
