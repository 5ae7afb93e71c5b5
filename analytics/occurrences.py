"""What happens beside conversations and is counted by day: each with where it is found.

A day's number is never lowered, but where it is asked for: what it was counted from may have been erased since.
"""

from typing import Any

from django.db import connection

from analytics.models import Occurrence

#: SQL of (at, label) by name. ``at`` lies between ``%(start)s`` and ``%(end)s``.
SOURCES = {
    "audit": "SELECT at, action FROM accounts_auditevent WHERE {at}",
    "consent_given": "SELECT at, purpose FROM accounts_consent WHERE granted AND {at}",
    "consent_refused": "SELECT at, purpose FROM accounts_consent WHERE NOT granted AND {at}",
    "data_request": "SELECT created_at AS at, kind FROM accounts_datarequest WHERE {created_at}",
    "moderated": "SELECT created_at AS at, action FROM conversations_moderationitem WHERE {created_at}",
    "moderated_for": "SELECT created_at AS at, category FROM conversations_moderationitem WHERE {created_at}",
    "moderation_decided": "SELECT decided_at AS at, state FROM conversations_moderationitem WHERE {decided_at}",
    "moderation_appealed": "SELECT appealed_at AS at, '' FROM conversations_moderationitem WHERE {appealed_at}",
    "gap_question": "SELECT created_at AS at, source FROM faqs_gapquestion WHERE {created_at}",
    "faq_page_helped": (
        "SELECT created_at AS at, CASE WHEN helpful THEN 'yes' ELSE 'no' END FROM faqs_faqfeedback WHERE {created_at}"
    ),
}


class _Between(dict[str, str]):
    def __missing__(self, column: str) -> str:
        return f"{column} >= %(start)s AND {column} < %(end)s"


_ROWS = " UNION ALL ".join(
    f"SELECT '{name}' AS name, at, label FROM ({sql.format_map(_Between())}) AS each(at, label)"  # noqa: S608  ours
    for name, sql in SOURCES.items()
)
_COUNT = f"""
    INSERT INTO analytics_occurrence AS kept (start, name, label, number)
    SELECT date_trunc('day', at, %(zone)s), name, left(label, 60), count(*) FROM ({_ROWS}) happened GROUP BY 1, 2, 3
    ON CONFLICT (start, name, label) DO UPDATE SET number = greatest(kept.number, excluded.number)
"""  # noqa: S608


def count_occurrences(span: dict[str, Any], *, lower: bool = False) -> None:
    """Count what happened in the days from ``start`` to ``end``, as days of ``zone``."""
    if lower:
        Occurrence.objects.filter(start__gte=span["start"], start__lt=span["end"]).delete()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, span)
