"""Many conversations at once, in SQL, for what removes them."""

from datetime import datetime
from uuid import UUID

from django.db import connection


def fill(*, owner: UUID, version: UUID, conversations: int, turns: int, at: datetime, text: str = "x") -> None:
    """``conversations`` of ``owner`` that ended at ``at``, each with ``turns`` questions and their replies."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMP TABLE seeded ON COMMIT DROP AS SELECT uuidv7() AS id FROM generate_series(1, %s);
            INSERT INTO conversations_conversation
              (id, owner_id, persona_version_id, title, title_source, pinned, created_at, updated_at, revision, summary)
            SELECT id, %s, %s, 'Seeded', 'question', false, %s, %s, 1, '' FROM seeded
            """,
            [conversations, owner, version, at, at],
        )
        cursor.execute(
            """
            WITH pairs AS MATERIALIZED (
              SELECT seeded.id, uuidv7() AS question, uuidv7() AS reply
              FROM seeded, generate_series(1, %s)
            ), questions AS (
              INSERT INTO conversations_message
                (id, conversation_id, owner_id, role, status, text, created_at, provider, epoch, worker,
                 stop_requested, model, finish_reason, error_code, usage_estimated)
              SELECT question, id, %s, 'user', 'sent', %s, %s, '', 0, '', false, '', '', '', false FROM pairs
            )
            INSERT INTO conversations_message
              (id, conversation_id, owner_id, parent_id, role, status, text, created_at, queued_at, first_token_at,
               finished_at, provider, epoch, worker, stop_requested, model, finish_reason, error_code,
               prompt_tokens, completion_tokens, usage_estimated)
            SELECT reply, id, %s, question, 'assistant', 'completed', %s, %s, %s, %s::timestamptz + interval '1 s', %s,
                   'fake', 1, '', false, 'fake/model', 'stop', '', 40, 60, false
            FROM pairs
            """,
            [turns, owner, text, at, owner, text, at, at, at, at],
        )
