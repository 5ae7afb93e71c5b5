"""What somebody's violations come to: first they are slowed, then suspended until staff let them back in.

A blocked message counts three points at once, a flagged one a point when a moderator has upheld it; what was dismissed
counts nothing, and everything is forgotten after MODERATION_SCORE_DAYS. Help in a crisis is no violation, nor
is an endpoint that could not be asked.
"""

from uuid import UUID

import structlog
from django.conf import settings

from accounts.models import User
from accounts.services import suspend_for_violations
from chatbot_project.lib import ratelimit
from chatbot_project.lib.db import fetch_prepared

log = structlog.get_logger(__name__)

#: One question within so many seconds for who is slowed.
SLOWED = ((1, 60),)
#: The points of the person whose id stands for ``{owner}``, for a SELECT: by the index moderation_of_person.
POINTS_SQL = """
    (SELECT coalesce(sum(CASE WHEN item.action = 'block' AND item.source <> 'unavailable' THEN 3
                              WHEN item.action = 'flag' AND item.state = 'upheld' THEN 1 ELSE 0 END), 0)::int
     FROM conversations_moderationitem item
     WHERE item.owner_id = {owner} AND item.state <> 'dismissed'
       AND item.created_at > statement_timestamp() - make_interval(days => %s))
"""


def points_of(owner: UUID) -> int:
    """The points of a person, in one query."""
    rows = fetch_prepared(f"SELECT {POINTS_SQL.format(owner='%s')}", [owner, settings.MODERATION_SCORE_DAYS])
    return int(rows[0][0])


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
            log.warning("moderation.suspended", user=str(owner), points=points)
