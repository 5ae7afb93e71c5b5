"""E-mail addresses."""

import re
from collections.abc import Iterator

# Read outwards from each @, within the lengths of RFC 5321: a run of letters without one is passed over once.
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
# Spelt against harvesters: "jo [at] example.org", "jo(at)example(dot)org".
_SPELT_AT = re.compile(r" ?[(\[{] ?(?:at|ät|@|arroba|chiocciola|snabel-?a|małpa) ?[)\]}] ?", re.I)
_SPELT_DOMAIN = re.compile(
    r"[^\W_](?:[\w-]{0,61}[^\W_])?"
    r"(?:(?:\.| ?[(\[{] ?(?:dot|punkt|point|punto|ponto|kropka) ?[)\]}] ?)[^\W_](?:[\w-]{0,61}[^\W_])?){1,8}(?!\w)",
    re.I,
)
_DOMAIN = re.compile(r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?!\w)", re.I)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Addresses with a domain that has a top level."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text[max(0, at - 64) : at])
        domain = _DOMAIN.match(text, at)
        if local and domain:
            yield at - len(local[0].lstrip(".'`")), domain.end()
        at = text.find("@", at + 1)
    for spelt in _SPELT_AT.finditer(text):
        local = _LOCAL.search(text[max(0, spelt.start() - 64) : spelt.start()])
        domain = _SPELT_DOMAIN.match(text, spelt.end())
        if local and domain:
            yield spelt.start() - len(local[0].lstrip(".'`")), domain.end()
