"""Tickets for the chat socket: a program that cannot send a cookie shows one in the socket's address, once.

A ticket lives for 30 seconds and is gone with its first use, so that it does no harm where addresses are kept. It
stands for the credential that asked for it: when that one ends, the socket ends.
"""

import json
import logging
import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from accounts.credentials import Credential
from accounts.models import User
from accounts.scopes import ALL_SCOPES, Scope
from accounts.sockets import still_signed_in
from chatbot_project.lib.api.errors import unavailable
from chatbot_project.lib.redis import RedisError, blocking_redis

logger = logging.getLogger(__name__)

SECONDS = 30
_MAX_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Admission:
    """Who comes in by a ticket, by which credential, and for what."""

    user: User
    credential: str
    scopes: frozenset[Scope] = ALL_SCOPES


def issue_ticket(*, user: User, credential: Credential) -> str:
    """A ticket for ``user``. Raises ApplicationError ``unavailable`` (503) while Redis is away."""
    ticket = secrets.token_urlsafe(32)
    content = [credential.name, str(user.pk), user.auth_epoch, sorted(credential.scopes)]
    try:
        blocking_redis().set(_place(ticket), json.dumps(content), ex=SECONDS)
    except RedisError as error:
        logger.warning("ticket_not_kept", exc_info=True)
        raise unavailable() from error
    return ticket


def take_ticket(ticket: str) -> Admission | None:
    """Use the ticket up; ``None`` where there is none such, or what it stands for has ended since.

    Of any number of tries at once, one gets it. Raises RedisError. Two queries.
    """
    if len(ticket) > _MAX_LENGTH:
        return None
    raw = blocking_redis().getdel(_place(ticket))
    if raw is None:
        return None
    name, user_id, epoch, scopes = json.loads(raw)
    if not still_signed_in([(name, UUID(user_id), epoch)]):
        return None
    user = User.objects.filter(pk=user_id, is_active=True, auth_epoch=epoch).first()
    if user is None:
        return None
    user.with_role = Scope.STAFF in scopes
    return Admission(user, name, frozenset(map(Scope, scopes)))


def _place(ticket: str) -> str:
    return f"ticket:{sha256(ticket.encode('utf-8', 'surrogatepass')).hexdigest()}"
