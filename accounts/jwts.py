"""JSON Web Tokens: signing and reading. Whether a family still stands is asked in accounts/families.py.

HS256 only. Every token names its key (``kid``), and keys rotate: the first of settings.JWT_SIGNING_KEYS signs, all of
them verify, so that a new one put in front signs nobody out.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenBackendError, TokenError
from rest_framework_simplejwt.tokens import Token

__all__ = ["AccessToken", "ExpiredTokenError", "RefreshToken", "TokenError"]

ISSUER, AUDIENCE = "nono", "nono-api"
ACCESS_LIFETIME = timedelta(minutes=30)
REFRESH_LIFETIME = timedelta(days=7)
MAX_LENGTH = 4096  # characters; ours have about 500


class Keyring(TokenBackend):
    """Signs with the first secret and verifies with the one that a token names."""

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = [hmac.digest(secret.encode(), b"accounts.jwts", "sha256") for secret in secrets]
        self._keys = {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}
        self._signing_id = next(iter(self._keys))
        super().__init__("HS256", audience=AUDIENCE, issuer=ISSUER)

    def encode(self, payload: dict[str, Any]) -> str:
        return jwt.encode(
            {**payload, "aud": self.audience, "iss": self.issuer},
            self._keys[self._signing_id],
            algorithm=self.algorithm,
            headers={"kid": self._signing_id},
        )

    def get_verifying_key(self, token: Any) -> bytes:
        """The key that the token's header names. Raises TokenBackendError where we have none such."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError as error:
            raise TokenBackendError("Token is invalid") from error
        key = self._keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise TokenBackendError("Token is invalid")
        return key


@lru_cache(maxsize=4)
def _keyring(secrets: tuple[str, ...]) -> Keyring:
    return Keyring(secrets)


class _OwnToken(Token):
    """Claims: ``sub`` (the person), ``fam`` (the family), ``epoch`` (the person's ``auth_epoch``), ``token_type``."""

    def __init__(self, token: Any = None, verify: bool = True) -> None:
        if isinstance(token, str) and len(token) > MAX_LENGTH:
            raise TokenError("Token is too long")
        super().__init__(token, verify)

    def get_token_backend(self) -> TokenBackend:
        secrets = settings.JWT_SIGNING_KEYS or [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
        return _keyring(tuple(secrets))


class AccessToken(_OwnToken):
    """Shows who somebody is for 30 minutes. Reading one raises TokenError."""

    token_type = "access"  # noqa: S105 - a name, no secret
    lifetime = ACCESS_LIFETIME


class RefreshToken(_OwnToken):
    """Gets the next pair of tokens, once, within 7 days. Its ``jti`` is the family's ``token_id``."""

    token_type = "refresh"  # noqa: S105
    lifetime = REFRESH_LIFETIME
