"""That a person is here, the language they are spoken to in and the time they go by, whichever way they came in."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone, translation

from accounts.models import User
from accounts.sessions import SEEN_EVERY


def mark_seen(person: User) -> None:
    """Note that ``person`` is here, at most once in five minutes."""
    now = timezone.now()
    if now - person.last_seen_at >= SEEN_EVERY:
        User.objects.filter(pk=person.pk, last_seen_at__lte=now - SEEN_EVERY).update(last_seen_at=now)


def speak_to(request: HttpRequest, person: User) -> None:
    """Answer the request in the person's own language, if they have chosen one."""
    if person.language in dict(settings.LANGUAGES):
        translation.activate(person.language)  # LocaleMiddleware sets it anew for every request
        request.LANGUAGE_CODE = translation.get_language()


def time_zone_of(person: User) -> ZoneInfo:
    """The time zone that ``person`` has chosen, else the installation's."""
    try:
        return ZoneInfo(person.timezone or settings.TIME_ZONE)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(settings.TIME_ZONE)
