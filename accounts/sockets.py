"""Who is behind a socket, whether they still are, and the word to open sockets that somebody was signed out."""

import logging
from collections.abc import Sequence
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare

from accounts.credentials import Credential, Kind
from accounts.models import User
from accounts.second_factor import SHOWN, hold_to
from accounts.sessions import SessionStore
from chatbot_project.lib.db import fetch_prepared

logger = logging.getLogger(__name__)

#: A socket as it was let in: its credential's name, its person, and that person's ``auth_epoch`` then.
Entry = tuple[str, UUID, int]


def session_user(session_key: str) -> User | None:
    """The person signed in by that session, or ``None``. One unit of work of at most two queries.

    Holds to what a request is held to: the session exists and has not run out, it was made under the person's present
    password and ``auth_epoch``, and the person is not suspended.
    """
    if not session_key:
        return None
    session = SessionStore(session_key).load()
    try:
        user = User.objects.filter(pk=session[SESSION_KEY], is_active=True).first() if SESSION_KEY in session else None
    except (ValidationError, ValueError):
        return None
    if user is None:
        return None
    stored = str(session.get(HASH_SESSION_KEY, ""))
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    if not any(constant_time_compare(stored, each) for each in valid):
        return None
    hold_to(user, shown=SHOWN in session)
    return user


def still_signed_in(entries: Sequence[Entry]) -> set[str]:
    """The names among the credentials of ``entries`` whose sockets may stay open. One query for any number of them.

    They close when the session, family or key has ended, the person is suspended, or their ``auth_epoch`` has risen.
    """
    if not entries:
        return set()
    credentials = [Credential.from_name(name) for name, _, _ in entries]
    # Every web process asks every few seconds for all of its sockets: arrays, as thousands of parameters cost too much.
    rows = fetch_prepared(
        """
        SELECT c.name
        FROM unnest(%s::text[], %s::uuid[], %s::int[], %s::text[], %s::uuid[], %s::uuid[])
            AS c(name, person, auth_epoch, session, family, api_key)
        JOIN accounts_user u ON u.id = c.person AND u.is_active AND u.auth_epoch = c.auth_epoch
        LEFT JOIN accounts_browsersession s ON s.session_key = c.session AND s.expire_date > now()
        LEFT JOIN accounts_refreshfamily f
            ON f.id = c.family AND f.user_id = u.id AND f.revoked_at IS NULL AND f.expires_at > now()
        LEFT JOIN accounts_apikey k
            ON k.id = c.api_key AND k.user_id = u.id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())
        WHERE s.session_key IS NOT NULL OR f.id IS NOT NULL OR k.id IS NOT NULL
        """,
        [
            [name for name, _, _ in entries],
            [who for _, who, _ in entries],
            [epoch for _, _, epoch in entries],
            [each.id if each.kind == Kind.SESSION else None for each in credentials],
            [each.uuid if each.kind == Kind.FAMILY else None for each in credentials],
            [each.uuid if each.kind == Kind.API_KEY else None for each in credentials],
        ],
    )
    return {row[0] for row in rows}


def announce_sign_out(user: User) -> None:
    """Have the sockets of ``user`` look again whether they may stay open. Call it after the commit.

    Only hastens what each web process does by itself every few seconds, so a failure is logged and no more.
    """
    try:
        async_to_sync(get_channel_layer().group_send)(user.socket_group, {"type": "signed.out"})
    except Exception:  # the layer's clients raise errors of several libraries
        logger.warning("sign_out_not_announced", exc_info=True)
