"""Signing programs in: families of refresh tokens, and the access tokens that they give."""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid4

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.jwts import REFRESH_LIFETIME, AccessToken, RefreshToken, TokenError
from accounts.models import RefreshFamily, User
from accounts.retention.policies import Class, kept_since
from accounts.second_factor import hold_to
from accounts.sockets import announce_sign_out
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError

Revoked = RefreshFamily.Revoked


@dataclass(frozen=True, slots=True)
class Pair:
    """What a program gets: an access token for now, and the refresh token that gets the next pair, once."""

    family: RefreshFamily
    access: str
    refresh: str


class TokenRefused(ApplicationError):
    """The refresh token is forged, too old, used, or its sign-in has ended. All of these look alike."""

    auth_header = 'Bearer realm="api"'

    def __init__(self) -> None:
        super().__init__("invalid_token", _("This token is not good any more. Sign in again."), status=401)


def open_family(*, user: User, device: str = "", second_factor: bool = False) -> Pair:
    """Sign a program in as ``user``, who has shown the ``second_factor`` or not. Recorded, except for a guest."""
    with transaction.atomic():
        family = RefreshFamily.objects.create(
            user=user,
            device=device[:60],
            auth_epoch=user.auth_epoch,
            second_factor=second_factor,
            token_id=uuid4(),
            expires_at=timezone.now() + REFRESH_LIFETIME,
        )
        if not user.is_guest:
            record_audit(actor=user, action="sign_in.succeeded", obj=user, details={"way": "token"})
    return _pair(family)


def refresh(*, token: str) -> Pair:
    """The next pair of tokens. A token works once: of any number at once, one gets it.

    Raises TokenRefused. A token that was used before revokes its family, for one of the two who have it stole it.
    """
    claims = _read(token)
    with transaction.atomic():
        family = _lock(claims)
        if family is None:
            raise TokenRefused
        replayed = family.token_id != claims.token
        if replayed:
            _revoke(family, Revoked.REPLAYED)
        else:
            family.token_id = uuid4()
            family.last_used_at = timezone.now()
            family.expires_at = family.last_used_at + REFRESH_LIFETIME
            family.save(update_fields=["token_id", "last_used_at", "expires_at"])
    if replayed:  # outside the transaction, which the revocation must survive
        raise TokenRefused
    return _pair(family)


def sign_out(*, token: str) -> User | None:
    """End the family of a refresh token; nothing where it has ended already. Raises TokenRefused for a forged one.

    Returns the person where the token is the newest of its family, so that it speaks for them.
    """
    claims = _read(token)
    with transaction.atomic():
        family = _lock(claims)
        if family is None:
            return None
        newest = family.token_id == claims.token
        _revoke(family, Revoked.SIGNED_OUT if newest else Revoked.REPLAYED)
    return family.user if newest else None


def end_family(*, user: User, family_id: UUID, reason: Revoked = Revoked.ENDED) -> bool:
    """End one family of ``user``. Whether there was one that had not ended."""
    with transaction.atomic():
        family = live_families(user).select_for_update(of=("self",)).filter(pk=family_id).first()
        if family is not None:
            _revoke(family, reason)
    return family is not None


def live_families(user: User) -> "models.QuerySet[RefreshFamily]":
    """The families of ``user`` that get new tokens still."""
    return RefreshFamily.objects.filter(
        user=user,
        auth_epoch=user.auth_epoch,
        revoked_at=None,
        expires_at__gt=timezone.now(),
        last_used_at__gt=kept_since(Class.SESSION),
    )


def person_of(token: str) -> tuple[User, UUID] | None:
    """The person whom an access token shows, and its family; ``None`` where either has ended. One query.

    Raises TokenError for what is no good access token, ExpiredTokenError for one that was.
    """
    claims = _Claims.of(AccessToken(token))
    rows = fetch_prepared(_person_of(), {"family": claims.family, "person": claims.person, "epoch": claims.epoch})
    if not rows:
        return None
    *columns, second_factor = rows[0]
    user = User.from_db("default", _user_fields(), columns)
    hold_to(user, shown=second_factor)
    return user, claims.family


def shows_second_factor(*, user: User, family_id: UUID) -> bool:
    """Whether that family of ``user`` was begun with the second factor."""
    return RefreshFamily.objects.filter(pk=family_id, user=user, second_factor=True).exists()


@cache
def _user_fields() -> list[str]:
    return [field.attname for field in User._meta.concrete_fields]


@cache
def _person_of() -> str:
    """Every request of a program asks this: through the ORM it is a third of what a short one costs (ADR 10)."""
    columns = ", ".join(f'person."{field.column}"' for field in User._meta.concrete_fields)
    return f"""
        SELECT {columns}, family.second_factor
        FROM {RefreshFamily._meta.db_table} family JOIN {User._meta.db_table} person ON person.id = family.user_id
        WHERE family.id = %(family)s AND family.user_id = %(person)s AND family.revoked_at IS NULL
          AND family.auth_epoch = %(epoch)s AND person.is_active AND person.auth_epoch = %(epoch)s
    """  # noqa: S608 - names of columns and tables, no value


@dataclass(frozen=True, slots=True)
class _Claims:
    person: UUID
    family: UUID
    epoch: int
    token: UUID

    @classmethod
    def of(cls, token: Any) -> "_Claims":
        try:
            return cls(UUID(token["sub"]), UUID(token["fam"]), int(token["epoch"]), UUID(token["jti"]))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise TokenError("Token lacks a claim") from error


def _read(token: str) -> _Claims:
    try:
        return _Claims.of(RefreshToken(token))
    except TokenError as error:
        raise TokenRefused from error


def _lock(claims: _Claims) -> RefreshFamily | None:
    """The family, locked, if it and the person may go on."""
    return (
        RefreshFamily.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(pk=claims.family, user=claims.person, auth_epoch=claims.epoch, revoked_at=None)
        .filter(user__is_active=True, user__auth_epoch=claims.epoch, expires_at__gt=timezone.now())
        .filter(last_used_at__gt=kept_since(Class.SESSION))
        .first()
    )


def _revoke(family: RefreshFamily, reason: Revoked) -> None:
    family.revoked_at, family.reason = timezone.now(), reason
    family.save(update_fields=["revoked_at", "reason"])
    if not family.user.is_guest:
        actor = None if reason == Revoked.REPLAYED else family.user
        details = {"way": "token", "how": str(reason)}
        record_audit(actor=actor, action="sign_in.ended", obj=family.user, details=details)
    transaction.on_commit(partial(announce_sign_out, family.user))


def _pair(family: RefreshFamily) -> Pair:
    tokens = AccessToken(), RefreshToken()
    for token in tokens:
        token["sub"], token["fam"], token["epoch"] = str(family.user_id), str(family.pk), family.auth_epoch
    tokens[1]["jti"] = str(family.token_id)
    return Pair(family, str(tokens[0]), str(tokens[1]))
