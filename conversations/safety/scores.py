"""What somebody's violations come to: first they are slowed, then suspended until staff let them back in.

A blocked question counts three points at once, a blocked reply, which a model wrote, three points and a flagged message
one when a moderator has upheld it; what was dismissed counts nothing, and everything is forgotten after
MODERATION_SCORE_DAYS, or when a moderator resets the points. Help in a crisis is no violation, nor is an endpoint that
could not be asked.
"""

from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit, suspend_for_violations
from chatbot_project.lib import ratelimit
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.text import clean_text
from conversations.safety.models import ModerationItem

log = structlog.get_logger(__name__)

MIN_REASON = 10
#: One question within so many seconds for who is slowed.
SLOWED = ((1, 60),)
#: The points of the person whose id stands for ``{owner}``, for a SELECT: by the index moderation_of_person.
POINTS_SQL = """
    (SELECT coalesce(sum(CASE item.action WHEN 'block' THEN 3 ELSE 1 END), 0)::int
     FROM conversations_moderationitem item
     WHERE item.owner_id = {owner} AND item.counts AND item.source <> 'unavailable'
       AND (item.action IN ('block', 'flag') AND item.state = 'upheld' OR item.action = 'block' AND item.state = 'open'
            AND EXISTS (SELECT FROM conversations_message m WHERE m.id = item.message_id AND m.role = 'user'))
       AND item.created_at > statement_timestamp() - make_interval(days => %s))
"""


def points_of(owner: UUID) -> int:
    """The points of a person, in one query."""
    rows = fetch_prepared(f"SELECT {POINTS_SQL.format(owner='%s')}", [owner, settings.MODERATION_SCORE_DAYS])
    return int(rows[0][0])


def reset_points(*, actor: User, person: User, reason: str) -> int:
    """Let what a person has done so far count no more; what was noted and decided stays. Returns the points that were
    reset. Recorded with its reason.

    Raises ApplicationError ``not_allowed`` (403), ``reason_too_short``.
    """
    reason = " ".join(clean_text(reason).split())[:500]
    if not actor.has_perm("conversations.change_moderationitem") or actor.pk == person.pk:
        raise ApplicationError("not_allowed", _("You may not do that."), status=403)
    if len(reason) < MIN_REASON:
        detail = _("Give a reason of at least %(count)d characters.") % {"count": MIN_REASON}
        raise ApplicationError("reason_too_short", detail)
    with transaction.atomic():
        points = points_of(person.pk)
        ModerationItem.objects.filter(owner=person, counts=True).update(counts=False)
        details = {"points": points}
        record_audit(actor=actor, action="moderation.points_reset", obj=person, reason=reason, details=details)
    return points


def slow_down(owner: UUID, points: int) -> None:
    """Raise RateLimited (429) where somebody with so many points asks more than once a minute.

    While Redis is away nobody is slowed by this: their other limits are closed then.
    """
    if 0 < settings.MODERATION_SLOW_SCORE <= points:
        ratelimit.take([ratelimit.Budget(f"slowed:{owner}", SLOWED)], closed=False)


def suspend_if_due(owner: UUID) -> None:
    """Suspend a person whose points are too many. Staff never are: an admin looks at theirs."""
    points = points_of(owner)
    if 0 < settings.MODERATION_SUSPEND_SCORE <= points:
        user = User.objects.filter(pk=owner).first()
        if user is not None and suspend_for_violations(user=user, points=points):
            log.warning("moderation.suspended", points=points)  # whom, says the audit trail
