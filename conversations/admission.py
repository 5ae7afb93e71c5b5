"""Who may open a chat socket: a page of this site by its session's cookie, or a program by a ticket."""

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.credentials import Credential, Kind
from accounts.sockets import session_user
from accounts.tickets import Admission, take_ticket
from chatbot_project.lib.redaction import holds_token

Scope = dict[str, Any]


def is_admissible(scope: Scope) -> bool:
    """Whether the handshake may be answered at all. Asks neither database nor Redis.

    A socket sends cookies wherever it is opened from, so without a ticket only a page that was served by this very site
    is let in. A ticket came with a call that was signed in to, so a program needs no Origin, and other sites' pages are
    let in that may call the API. Exactly one Host is needed, one that is allowed; a token in the address never goes.
    """
    host = _only(scope, b"host")
    if host is None or holds_token(scope.get("query_string", b"").decode("latin-1")):
        return False
    domain, _port = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    if ticket_of(scope) is not None:
        return not origins or _is_own_origin(scope, host) or _is_listed(_only(scope, b"origin"))
    return _is_own_origin(scope, host)


def admit(scope: Scope) -> Admission | None:
    """Who comes in, for a database thread; ``None`` for nobody. Uses the ticket up.

    A ticket of one person in the browser of another admits nobody. Raises Django's database errors and RedisError.
    """
    session_key, ticket = session_cookie(scope), ticket_of(scope)
    user = session_user(session_key) if session_key else None
    if ticket is None:
        return Admission(user, Credential(Kind.SESSION, session_key).name) if user else None
    admission = take_ticket(ticket)
    return None if admission and user and user.pk != admission.user.pk else admission


def ticket_of(scope: Scope) -> str | None:
    """The ticket in the address; empty, which is none that is good, where there are several."""
    try:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return ""
    tickets = query.get("ticket")
    if tickets is None:
        return None
    return tickets[0] if len(tickets) == 1 else ""


def session_cookie(scope: Scope) -> str:
    """The session's key from the Cookie header; empty where there is none that can be read."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                morsel = SimpleCookie(value.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
            except CookieError:
                return ""
            return morsel.value[:64] if morsel else ""
    return ""


def _only(scope: Scope, name: bytes) -> str | None:
    """The one header of that name, in lower case; ``None`` where there is none, several, or no ASCII."""
    found = [value for header, value in scope["headers"] if header == name]
    try:
        return found[0].decode("ascii").lower() if len(found) == 1 else None
    except ValueError:
        return None


def _is_own_origin(scope: Scope, host: str) -> bool:
    """Whether the page that opens the socket was served by this very site: same scheme, host and port."""
    origin = _only(scope, b"origin")
    if origin is None:
        return False
    if origin.rstrip("/") in {url.lower() for url in settings.CSRF_TRUSTED_ORIGINS}:
        return True
    try:
        parts: SplitResult = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.path or parts.query or "@" in parts.netloc:
        return False
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    if settings.IS_HTTPS and scheme == "http":
        return False  # TLS ends at a proxy; the origin that pages have then is listed
    return parts.scheme == scheme and host == (parts.hostname if port is None else f"{parts.hostname}:{port}")


def _is_listed(origin: str | None) -> bool:
    return origin is not None and origin in {url.lower() for url in settings.CORS_ALLOWED_ORIGINS}
