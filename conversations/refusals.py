"""Who reached for what is another's: answered as if it were absent, and recorded."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, models

from accounts.audit.recording import record_audit_once
from accounts.models import User
from chatbot_project.lib.errors import NotFound
from conversations.models import Conversation, Message

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

ACTION = "conversation.refused"
ONCE_IN = timedelta(minutes=1)
_NAMES: Mapping[str, type[models.Model]] = {
    "conversation_id": Conversation,
    "message_id": Message,
    "reply_id": Message,
    "parent_id": Message,
}


def recorded(service: Callable[P, T]) -> Callable[P, T]:
    """``service``, called with ``user=`` and ids by keyword: where it raises NotFound for another's object, that is
    recorded in a transaction of its own, and the error goes on as it is."""

    @wraps(service)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return service(*args, **kwargs)
        except NotFound:
            _record(kwargs)
            raise

    return guarded


def record_refusal(user: User, obj: models.Model, *, action: str = ACTION) -> None:
    """Record that ``user`` reached for ``obj``, once in a minute at most. A database that is away is logged and no
    more: the answer must not tell another's object from an absent one."""
    try:
        record_audit_once(within=ONCE_IN, actor=user, action=action, obj=obj)
    except (DatabaseError, InterfaceError) as error:
        log.warning("refusal.not_recorded", error=type(error).__name__)


def _record(arguments: Mapping[str, Any]) -> None:
    user: User = arguments["user"]
    try:
        for name, model in _NAMES.items():
            pk = arguments.get(name)
            if pk is not None and _is_anothers(user, model, pk):
                record_refusal(user, model(pk=pk))
    except (DatabaseError, InterfaceError) as error:
        log.warning("refusal.not_recorded", error=type(error).__name__)


def _is_anothers(user: User, model: type[models.Model], pk: UUID) -> bool:
    return model._default_manager.filter(pk=pk).exclude(owner=user).exists()
