"""That a person is here, the language they are spoken to in and the time they go by, whichever way they came in."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation.trans_real import language_code_re

from accounts.models import User
from accounts.sessions import SEEN_EVERY

LONGEST_CODE = 10  # as User.language and FAQ.language hold


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


def chosen_language(request: HttpRequest) -> str:
    """The language that was chosen in this browser; empty where none was. What a profile says overrules it, but for
    languages that no profile can name: in those there is something to read, and no page."""
    code = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    if not is_language_code(code):
        return ""
    is_overruled = isinstance(request.user, User) and request.user.language and code in dict(settings.LANGUAGES)
    return "" if is_overruled else code


def is_language_code(code: str) -> bool:
    return len(code) <= LONGEST_CODE and language_code_re.match(code) is not None


def remember_language(response: HttpResponse, code: str) -> None:
    """Keep the choice in this browser, for LocaleMiddleware and ``chosen_language``. An empty one is forgotten."""
    if not code:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
        return
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.LANGUAGE_COOKIE_SECURE,
    )
