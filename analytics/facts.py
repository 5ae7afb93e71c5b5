"""What is counted, as rows: one for each question and reply, one for each conversation, whether it is there still or
was removed and has left a line (conversations.models.Tally). The one place from which figures are made.

All take ``%(start)s`` and ``%(end)s`` and give rows with ``at`` from the former up to the latter. Times are in
seconds from a reply's being queued: to its first token, to its end (``whole``), to its being claimed (``waited``).
"""

# Of one person, their conversations lead to their messages (message_transcript); of all, the time (message_created).
_OWNED = " AND c.owner_id = %(owner)s"
_LEFT_BY = " AND t.person = %(owner)s"

# at, persona, version, channel, language, person, role, status, source, model, prompt_tokens, completion_tokens,
# usage_estimated, feedback, commented, handed_over, fell_back, cached, first_token, whole, waited
_SAID = """
    SELECT m.created_at AS at, v.persona_id AS persona, v.id AS version, coalesce(c.channel, 'web') AS channel,
           coalesce(c.language, '') AS language, m.owner_id AS person, m.role, m.status, m.source, m.model,
           m.prompt_tokens, m.completion_tokens, m.usage_estimated, f.value AS feedback,
           coalesce(f.comment <> '', false) AS commented, h.id IS NOT NULL AS handed_over,
           m.model <> '' AND split_part(m.model, '/', 1) <> m.provider AS fell_back,
           m.cached_at IS NOT NULL AS cached,
           extract(epoch FROM m.first_token_at - m.queued_at)::float8 AS first_token,
           extract(epoch FROM m.finished_at - m.queued_at)::float8 AS whole,
           extract(epoch FROM m.started_at - m.queued_at)::float8 AS waited
    FROM conversations_message m
    JOIN conversations_conversation c ON c.id = m.conversation_id
    JOIN personas_personaversion v ON v.id = c.persona_version_id
    LEFT JOIN conversations_feedback f ON f.message_id = m.id
    LEFT JOIN conversations_handover h ON h.message_id = m.id
    WHERE m.created_at >= %(start)s AND m.created_at < %(end)s{owned}
    UNION ALL
    SELECT t.at, t.persona, t.version, coalesce(t.channel, 'web'), coalesce(t.language, ''), t.person, t.role, t.status,
           t.source, t.model, t.prompt_tokens, t.completion_tokens, t.usage_estimated, t.feedback, t.commented,
           t.handed_over, t.fell_back, t.cached, t.first_token, t.whole, t.waited
    FROM conversations_tally t
    WHERE t.role <> '' AND t.at >= %(start)s AND t.at < %(end)s{left_by}
"""
# at, persona, version, channel, language, person, turns (its questions)
_BEGUN = """
    SELECT c.created_at AS at, v.persona_id AS persona, v.id AS version, coalesce(c.channel, 'web') AS channel,
           coalesce(c.language, '') AS language, c.owner_id AS person,
           (SELECT count(*) FROM conversations_message m WHERE m.conversation_id = c.id AND m.role = 'user') AS turns
    FROM conversations_conversation c JOIN personas_personaversion v ON v.id = c.persona_version_id
    WHERE c.created_at >= %(start)s AND c.created_at < %(end)s{owned}
    UNION ALL
    SELECT t.at, t.persona, t.version, coalesce(t.channel, 'web'), coalesce(t.language, ''), t.person, t.turns
    FROM conversations_tally t
    WHERE t.role = '' AND t.at >= %(start)s AND t.at < %(end)s{left_by}
"""
#: at, faq, source, feedback: a row for each FAQ that a reply cited
CITED = """
    SELECT m.created_at AS at, ci.faq_id AS faq, m.source, f.value AS feedback
    FROM conversations_message m
    JOIN (SELECT DISTINCT message_id, faq_id FROM conversations_citation WHERE faq_id IS NOT NULL) ci
      ON ci.message_id = m.id
    LEFT JOIN conversations_feedback f ON f.message_id = m.id
    WHERE m.created_at >= %(start)s AND m.created_at < %(end)s
    UNION ALL
    SELECT t.at, faq, t.source, t.feedback FROM conversations_tally t CROSS JOIN LATERAL unnest(t.faqs) AS faq
    WHERE t.role <> '' AND t.at >= %(start)s AND t.at < %(end)s
"""
#: person, at: a row for each conversation that was ever begun, removed or not.
BEGUN_BY_ALL = """
    SELECT owner_id AS person, created_at AS at FROM conversations_conversation
    UNION ALL SELECT person, at FROM conversations_tally WHERE person IS NOT NULL
"""


def _of(rows: str, *, one: bool) -> str:
    return rows.format(owned=_OWNED if one else "", left_by=_LEFT_BY if one else "")


SAID, BEGUN = _of(_SAID, one=False), _of(_BEGUN, one=False)
#: The same of the person ``%(owner)s``.
SAID_BY_ONE, BEGUN_BY_ONE = _of(_SAID, one=True), _of(_BEGUN, one=True)
