"""Keys, tokens and passwords."""

import re
from collections.abc import Iterator

_KEYS = (
    # PEM, whole; without its end, what there is of it.
    re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----))*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"),
    # JSON Web Tokens (RFC 7519): a header that begins with {" in base64.
    re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){0,3}", re.A),
    # Prefixes that providers give their keys, so that they are found.
    re.compile(
        r"(?<![\w-])(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)?[\w-]{16,}|(?<![\w-])(?:"
        r"gh[pousr]_|github_pat_|glpat-|gldt-|xox[abeoprs]-|xapp-|hf_|nvapi-|npm_|pypi-|dop_v1_|shpat_|whsec_|AIza|ya29\.|SG\."
        r")[\w.-]{16,}|(?<![\w-])A(?:KIA|SIA)[A-Z0-9]{16}(?![\w-])",
        re.A,
    ),
)
# Only the secret itself: what it was a secret of stays readable.
_NAMED_SECRET = re.compile(
    r"\b(?:password|passwort|kennwort|passphrase|pass|pwd|pin|tan|otp|secret|token|api[ _-]?key|access[ _-]?key"
    r"|mot de passe|contraseña|wachtwoord|hasło|lösenord|senha|parola)(?: is| ist| lautet| est| es| è| to| är| é)?"
    r"[ ]?[:=][ ]?[\"']?((?![\[\"'])[^\s\"',;]{4,200})",
    re.I,
)
_BEARER = re.compile(r"\b(?:bearer|basic)[ ]+([\w.~+/=-]{16,})", re.I | re.A)
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:([^\s/@]{1,200})(?=@)", re.I)
_LONG_WORD = re.compile(r"(?<![\w-])\w{32,}(?![\w-])", re.A)
_DIGITS = re.compile(r"\d+")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")


def keys(text: str) -> Iterator[tuple[int, int]]:
    """Keys and tokens by their form, passwords by what is said of them."""
    for pattern in _KEYS:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in (_NAMED_SECRET, _BEARER, _URL_PASSWORD):
        yield from (match.span(1) for match in pattern.finditer(text))
    yield from (match.span() for match in _LONG_WORD.finditer(text) if _looks_random(match[0]))


def _looks_random(word: str) -> bool:
    """Digits scattered among letters of both cases, or hexadecimal ones: no long name is written so."""
    if word.isdigit() or word.isalpha() or len(_DIGITS.findall(word)) < 3:
        return False
    return _HEX.fullmatch(word) is not None or (word.lower() != word and word.upper() != word)
