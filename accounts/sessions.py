"""Browsers' sessions in the database, each with whose it is and when it was last seen."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import BrowserSession
from accounts.retention.policies import Class, kept_since

SEEN_EVERY = timedelta(minutes=5)
#: Under these names a session remembers since when and on which device it is signed in.
SINCE, DEVICE = "since", "device"


class SessionStore(DatabaseStore):
    """The engine that settings.SESSION_ENGINE names."""

    stored: BrowserSession | None = None

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> BrowserSession:
        session = super().create_model_instance(data)
        assert isinstance(session, BrowserSession)
        session.user_id = _person_id(data)
        return session

    def _get_session_from_db(self) -> BrowserSession | None:
        """The row, unless it has ended or was not used for longer than sign-ins are kept. One query."""
        live = BrowserSession.objects.filter(expire_date__gt=Now(), last_seen_at__gt=kept_since(Class.SESSION))
        self.stored = live.filter(session_key=self.session_key).first()
        if self.stored is None:
            self._session_key = None
        return self.stored

    def note_seen(self) -> None:
        """Note that the session is in use, at most once in five minutes."""
        now = timezone.now()
        if self.stored is not None and now - self.stored.last_seen_at >= SEEN_EVERY:
            BrowserSession.objects.filter(session_key=self.session_key).update(last_seen_at=now)


def _person_id(data: dict[str, Any]) -> UUID | None:
    try:
        return UUID(data[SESSION_KEY]) if SESSION_KEY in data else None
    except (ValueError, TypeError):
        return None
