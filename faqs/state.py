"""The one row that says which knowledge is in force."""

from functools import partial

from django.db import connection, transaction

from faqs.models import KnowledgeState
from faqs.signals import knowledge_changed

_BUMP = """
    INSERT INTO faqs_knowledgestate AS state (id, revision) VALUES (1, 2)
    ON CONFLICT (id) DO UPDATE SET revision = state.revision + 1 RETURNING revision
"""


def knowledge_state() -> KnowledgeState:
    """The state as stored now, made where there is none yet."""
    return KnowledgeState.objects.get_or_create(pk=1)[0]


def bump_revision() -> int:
    """Raise the knowledge's revision in the caller's transaction, tell of it on commit, and return it.

    Call it last: the row stays locked until the transaction ends, and everybody who changes the knowledge waits for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BUMP)
        revision: int = cursor.fetchone()[0]
    # A receiver that fails is logged by the signal: the change itself stands by then.
    transaction.on_commit(partial(knowledge_changed.send_robust, sender=KnowledgeState, revision=revision))
    return revision
