"""Access and refresh tokens: what they are good for, and when they stop being so."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import jwt
import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone

from accounts import api_keys, families, jwts, services, tasks
from accounts.models import RefreshFamily, User
from accounts.roles import Role
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_user

pytestmark = pytest.mark.django_db
INVALID = (401, "invalid_token")


def claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def signed(content: dict, *, key: bytes | None = None, algorithm: str = "HS256", **header: str) -> str:
    """A token with that content, under our own key and its id unless told otherwise."""
    keyring = jwts.AccessToken().get_token_backend()
    ours = keyring._keys[keyring._signing_id]
    return jwt.encode(
        content, ours if key is None else key, algorithm=algorithm, headers={"kid": keyring._signing_id, **header}
    )


@pytest.fixture
def pair(owner: User) -> families.Pair:
    return families.open_family(user=owner, device="test")


def answer_to(token: str):
    return ApiClient(token).get("me")


def test_a_token_says_who_which_family_which_epoch_and_nothing_else(owner: User, pair: families.Pair) -> None:
    content = claims(pair.access)
    assert set(content) == {"sub", "fam", "epoch", "token_type", "jti", "iat", "exp", "aud", "iss"}
    assert (content["sub"], content["fam"], content["epoch"]) == (str(owner.pk), str(pair.family.pk), owner.auth_epoch)
    assert content["exp"] - content["iat"] == 30 * 60
    refresh = claims(pair.refresh)
    assert refresh["exp"] - refresh["iat"] == 7 * 24 * 3600


def test_an_access_token_shows_its_person_in_one_query(pair, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        answer = answer_to(pair.access)
    assert answer.json()["username"] == "owner"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # of HS512, which we never sign with
def test_a_token_that_was_tampered_with_is_none(pair: families.Pair) -> None:
    good = claims(pair.access)
    head, body, signature = pair.access.split(".")
    forged_body = base64.urlsafe_b64encode(json.dumps({**good, "sub": "x"}).encode()).decode().rstrip("=")
    no_key = jwt.encode(good, None, algorithm="none")
    forged = {
        "another body": f"{head}.{forged_body}.{signature}",
        "no signature": f"{head}.{body}.",
        "alg none": no_key,
        "alg none with our key's id": jwt.encode(
            good, None, algorithm="none", headers={"kid": jwt.get_unverified_header(pair.access)["kid"]}
        ),
        "another algorithm": signed(good, algorithm="HS512"),
        "another key": signed(good, key=b"another key of thirty-two bytes!"),
        "a key id that is none": signed(good, kid="0" * 16),
        "a key id that is a path": signed(good, kid="../../dev/null"),
        "a key from elsewhere": signed(
            good, key=b"x" * 32, jku="https://evil.example/keys", x5u="https://evil.example"
        ),
        "refresh as access": pair.refresh,
        "wrong audience": signed({**good, "aud": "somebody-else"}),
        "no audience": signed({name: value for name, value in good.items() if name != "aud"}),
        "wrong issuer": signed({**good, "iss": "somebody-else"}),
        "no expiry": signed({name: value for name, value in good.items() if name != "exp"}),
        "no family": signed({name: value for name, value in good.items() if name != "fam"}),
        "a family that is no id": signed({**good, "fam": "x"}),
        "an epoch that is none": signed({**good, "epoch": "x"}),
        "another's family": signed({**good, "sub": str(make_user().pk)}),
        "an older epoch": signed({**good, "epoch": good["epoch"] - 1}),
        "too long": pair.access + "A" * 5000,
        "nothing": "",
        "no token": "x",
        "no characters": "ü.ü.ü".encode().decode("latin-1"),
    }
    answers = {how: refusal(answer_to(token)) for how, token in forged.items() if token}
    assert {how: answer for how, answer in answers.items() if answer != INVALID} == {}
    assert answer_to(pair.access).status_code == 200
    assert answer_to(signed(good)).status_code == 200, "the forgeries fail for what is wrong with them"


def test_a_refused_token_is_not_made_good_by_a_session(owner: User, browser) -> None:
    page = browser(owner)
    assert page.get("/api/v1/me").status_code == 200
    assert page.get("/api/v1/me", headers={"Authorization": "Bearer x"}).status_code == 401


def test_a_refusal_says_how_to_sign_in(db) -> None:
    for answer in (ApiClient().get("me"), answer_to("x"), ApiClient().post("auth/refresh", {"refresh": "x"})):
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_token_that_has_run_out_asks_to_be_refreshed(pair: families.Pair) -> None:
    old = {**claims(pair.access), "exp": int(time.time()) - 1}
    assert refusal(answer_to(signed(old))) == (401, "token_expired")


def test_keys_rotate_without_signing_anybody_out(owner: User, settings) -> None:
    settings.JWT_SIGNING_KEYS = ["first"]
    pair = families.open_family(user=owner)
    settings.JWT_SIGNING_KEYS = ["second", "first"]
    assert answer_to(pair.access).status_code == 200
    renewed = families.refresh(token=pair.refresh)
    settings.JWT_SIGNING_KEYS = ["second"]
    assert answer_to(renewed.access).status_code == 200
    assert refusal(answer_to(pair.access)) == INVALID


def test_without_keys_of_its_own_the_api_signs_by_the_secret_key(owner: User, settings) -> None:
    pair = families.open_family(user=owner)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another secret", [settings.SECRET_KEY]
    assert answer_to(pair.access).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert refusal(answer_to(pair.access)) == INVALID


# --- refreshing


def refresh(token: str):
    return ApiClient().post("auth/refresh", {"refresh": token})


def test_a_refresh_token_gets_the_next_pair(owner: User, pair: families.Pair) -> None:
    answer = refresh(pair.refresh)
    body = answer.json()
    assert (answer.status_code, body["token_type"], body["user"]["id"]) == (200, "Bearer", str(owner.pk))
    assert answer_to(body["access"]).status_code == 200
    assert refresh(body["refresh"]).status_code == 200
    assert RefreshFamily.objects.count() == 1


def test_a_replayed_refresh_token_ends_its_family_and_no_other(owner: User, pair: families.Pair) -> None:
    elsewhere = families.open_family(user=owner)
    thief = refresh(pair.refresh).json()
    assert refusal(refresh(pair.refresh)) == INVALID
    assert refusal(refresh(thief["refresh"])) == INVALID
    assert refusal(answer_to(thief["access"])) == INVALID
    assert refusal(answer_to(pair.access)) == INVALID
    assert answer_to(elsewhere.access).status_code == 200
    pair.family.refresh_from_db()
    assert (pair.family.reason, pair.family.revoked_at is not None) == (RefreshFamily.Revoked.REPLAYED, True)


@pytest.mark.parametrize("kind", ["access", "nothing", "no token", "an API key"])
def test_what_is_no_refresh_token_refreshes_nothing(owner: User, pair: families.Pair, kind: str) -> None:
    tokens = {
        "access": pair.access,
        "nothing": "",
        "no token": "x",
        "an API key": api_keys.create_key(user=owner, name="x", scopes=[Scope.READ])[1],
    }
    answer = refresh(tokens[kind])
    assert refusal(answer) == ((400, "invalid") if kind == "nothing" else INVALID)
    assert refresh(pair.refresh).status_code == 200


ENDINGS = {
    "password change": lambda user: services.change_password(user=user, password="another correct horse"),
    "suspension": lambda user: services.set_suspended(actor=make_admin(), user=user, suspended=True, reason="x"),
    "role change": lambda user: services.change_role(actor=make_admin(), user=user, role=Role.MODERATOR, reason="x"),
    "sign-out everywhere": lambda user: services.end_sessions(user=user),
    "closing the account": lambda user: services.deactivate(user=user),
    "deletion": lambda user: user.delete(),
    "revocation": lambda user: families.end_family(user=user, family_id=user.refresh_families.get().pk),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_after_the_end_of_a_sign_in_neither_of_its_tokens_is_good(owner: User, pair: families.Pair, how: str) -> None:
    assert answer_to(pair.access).status_code == 200
    ENDINGS[how](owner)
    assert refusal(answer_to(pair.access)) == INVALID
    assert refusal(refresh(pair.refresh)) == INVALID


def test_who_is_reinstated_has_to_sign_in_again(owner: User, pair: families.Pair) -> None:
    admin = make_admin()
    services.set_suspended(actor=admin, user=owner, suspended=True, reason="x")
    services.set_suspended(actor=admin, user=owner, suspended=False, reason="x")
    assert refusal(refresh(pair.refresh)) == INVALID
    assert refusal(answer_to(pair.access)) == INVALID


def test_a_family_that_has_run_out_gets_no_more_tokens(pair: families.Pair) -> None:
    RefreshFamily.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(refresh(pair.refresh)) == INVALID


def test_families_that_have_run_out_are_removed(pair: families.Pair, other: User) -> None:
    families.open_family(user=other)
    RefreshFamily.objects.filter(pk=pair.family.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert tasks.clear_expired() == 1
    assert [family.user for family in RefreshFamily.objects.all()] == [other]


def test_refreshing_keeps_a_guest(db, settings) -> None:
    guest = make_guest()
    pair = families.open_family(user=guest)
    User.objects.filter(pk=guest.pk).update(last_seen_at=timezone.now() - timedelta(days=30))
    assert refresh(pair.refresh).status_code == 200
    assert tasks.expire_guests() == 0


def at_once(count: int, work) -> list:
    """What ``work(number)`` gives in that many threads that begin together, each on its own connection."""
    start = threading.Barrier(count)

    def run(number: int):
        try:
            start.wait(30)
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.django_db(transaction=True)
def test_of_ten_refreshes_at_once_one_succeeds_and_the_family_ends(owner: User, pair: families.Pair) -> None:
    """All of them stand before the family's row when it is let go: none has been served before another began."""
    answers = at_a_lock(10, RefreshFamily.objects.select_for_update().get, lambda _number: refresh(pair.refresh))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert refusal(refresh(won["refresh"])) == INVALID, "a replay among them revoked the family"
    assert RefreshFamily.objects.get().reason == RefreshFamily.Revoked.REPLAYED


@pytest.mark.django_db(transaction=True)
def test_a_refresh_beside_a_password_change_leaves_nothing_that_is_good(owner: User) -> None:
    for _round in range(5):
        owner.refresh_from_db()
        pair = families.open_family(user=owner)

        def work(number: int, pair: families.Pair = pair):
            if number == 0:
                User.objects.filter(pk=owner.pk).update(auth_epoch=F("auth_epoch") + 1)
                return None
            return refresh(pair.refresh)

        (won,) = at_once(2, work)[1:]
        if won.status_code == 200:
            assert refusal(answer_to(won.json()["access"])) == INVALID
            assert refusal(refresh(won.json()["refresh"])) == INVALID


def test_the_family_keeps_neither_an_address_nor_a_version(db) -> None:
    user = make_user("x@example.org", PASSWORD)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    ApiClient().post("auth/login", {"email": user.email, "password": PASSWORD}, **{"User-Agent": agent})
    family = RefreshFamily.objects.get()
    assert family.device == "Firefox (Linux)"
    stored = [value for value in RefreshFamily.objects.values_list().get() if isinstance(value, str)]
    assert stored == ["Firefox (Linux)", ""], "and no other text at all"
