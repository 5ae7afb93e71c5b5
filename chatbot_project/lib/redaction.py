"""Secrets that show who somebody is, found in text: they belong into a header, never into an address or a log."""

import re
from urllib.parse import unquote_plus

_TOKEN = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*|nono_sk_[\w-]{8,}")  # a JSON Web Token (RFC 7519), an API key
_TICKET = re.compile(r"(\bticket=)[^&\s'\"]+")


def holds_token(text: str) -> bool:
    """Whether an access token, refresh token or API key stands in ``text``, percent-encoded or not."""
    return _TOKEN.search(text) is not None or ("%" in text and _TOKEN.search(unquote_plus(text)) is not None)


def without_tokens(text: str) -> str:
    """``text`` with every token, API key and socket ticket cut out."""
    return _TICKET.sub(r"\1…", _TOKEN.sub("…", text))
