"""Who gets at which endpoint, and what holds for all of them."""

import pytest
from django.test import Client
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts import families, services, tokens
from accounts.api.authentication import BearerAuthentication, SessionAuthentication
from accounts.api.permissions import (
    MayDo,
    MemberRequired,
    MemberSignIn,
    OwnSignIn,
    PersonOrNobody,
    PersonRequired,
    Reader,
    audience_of,
    may,
)
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_moderator, make_user

pytestmark = pytest.mark.django_db

SOME_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
#: Endpoints that ask who one is, each with a body that does no harm.
GUARDED = [
    ("get", "me", None),
    ("patch", "me", {"language": "de"}),
    ("delete", "me", {"password": "x"}),
    ("get", "sessions", None),
    ("delete", f"sessions/{SOME_ID}", None),
    ("get", "auth/api-keys", None),
    ("post", "auth/api-keys", {"name": "x", "scopes": ["read"]}),
    ("delete", f"auth/api-keys/{SOME_ID}", None),
    ("post", "auth/password/change", {"password": "x", "new_password": "another correct horse"}),
    ("post", "auth/logout", {}),
    ("post", "chat/ws-ticket", {}),
]
OPEN = ["register", "verify-email", "login", "guest", "refresh", "password/reset", "password/reset/confirm"]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
def test_nobody_and_who_is_suspended_get_nowhere(owner: User, browser, method: str, path: str, body) -> None:
    suspended, page = ApiClient.of(owner), browser(owner)
    key = ApiClient.with_key(owner, *Scope)
    services.set_suspended(actor=make_admin(), user=owner, suspended=True, reason="x")
    assert refusal(ApiClient().call(method, path, body)) == (401, "signed_out")
    assert refusal(suspended.call(method, path, body)) == (401, "invalid_token")
    assert refusal(key.call(method, path, body)) == (401, "invalid_token")
    data = {} if body is None else {"data": body, "content_type": "application/json"}
    assert refusal(getattr(page, method)(f"/api/v1/{path}", **data)) == (401, "signed_out")


@pytest.mark.parametrize(("method", "path", "body"), [row for row in GUARDED if row[0] != "get"])
def test_a_foreign_page_changes_nothing_by_a_persons_cookie(owner: User, method: str, path: str, body) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)
    data = {} if body is None else {"data": body, "content_type": "application/json"}
    assert refusal(getattr(page, method)(f"/api/v1/{path}", **data)) == (403, "forbidden")


def test_the_page_itself_sends_its_csrf_token(owner: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)
    page.get("/accounts/sign-out/")
    page.cookies["csrftoken"] = "x" * 32
    headers = {"X-CSRFToken": page.cookies["csrftoken"].value}
    answer = page.patch("/api/v1/me", {"language": "de"}, content_type="application/json", headers=headers)
    assert answer.status_code == 200


def test_a_program_needs_no_csrf_token(owner: User) -> None:
    client = ApiClient.of(owner)
    client.client = Client(enforce_csrf_checks=True)
    assert client.patch("me", {"language": "de"}).status_code == 200


@pytest.mark.parametrize("path", OPEN)
def test_open_endpoints_take_posts_of_json_alone(path: str) -> None:
    client = ApiClient()
    assert refusal(client.get(f"auth/{path}")) == (405, "method_not_allowed")
    form = client.client.post(f"/api/v1/auth/{path}", {"email": "x@example.org"})
    assert refusal(form) == (415, "unsupported_media_type")
    broken = client.client.post(f"/api/v1/auth/{path}", "{", content_type="application/json")
    assert refusal(broken) == (400, "malformed")


@pytest.mark.parametrize("path", [path for path in OPEN if path != "guest"])
@pytest.mark.parametrize("body", [[], "x", 1, None, {}, {"email": {}, "token": [], "refresh": {}, "password": 1}])
def test_bodies_of_the_wrong_shape_are_refused(path: str, body) -> None:
    answer = ApiClient().client.post(
        f"/api/v1/auth/{path}", "null" if body is None else body, content_type="application/json"
    )
    assert refusal(answer)[0] in (400, 401)


# --- tokens in addresses


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/me?access_token={token}",
        "/api/v1/me?jwt={token}&x=1",
        "/api/v1/me?authorization=Bearer%20{token}",
        "/api/v1/me?t={encoded}",
        "/api/v1/me/{token}",
        "/api/v1/me?key={key}",
        "/whoami/?token={token}",
        "/accounts/sign-in/?next=/x?{token}",
    ],
)
def test_a_token_in_an_address_is_refused_and_not_logged(owner: User, address: str, caplog, capsys) -> None:
    token = families.open_family(user=owner).access
    encoded = "".join(f"%{ord(each):02X}" for each in token)
    key = "nono_sk_" + "x" * 43
    for method in ("get", "post"):
        answer = getattr(Client(), method)(address.format(token=token, encoded=encoded, key=key))
        assert refusal(answer) == (400, "token_in_address")
        assert token not in answer.content.decode()
    said = caplog.text + "".join(capsys.readouterr())
    assert token not in said
    assert key not in said
    assert token.rpartition(".")[2] not in said


def test_mailed_links_are_no_tokens_in_addresses(owner: User) -> None:
    for path in (f"reset/{tokens.reset_token(owner)}/", f"email/{tokens.email_token(owner, owner.email)}/"):
        assert Client().get(f"/accounts/link/{path}").status_code == 200


# --- permissions, on an endpoint of their own


def endpoint(permission: type, **attributes) -> type[APIView]:
    def answer(self, request: Request) -> Response:
        return Response({"who": str(request.user)})

    body = {"get": answer, "post": answer, "permission_classes": [permission]}
    ways = {"authentication_classes": [BearerAuthentication, SessionAuthentication], "throttle_classes": []}
    return type("Endpoint", (APIView,), {**body, **ways, **attributes})


def ask(view: type[APIView], token: str = "", method: str = "get") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = view.as_view()(getattr(APIRequestFactory(), method)("/", headers=headers))
    return response.status_code, response.data.get("code", "")


def bearer_of(user: User) -> str:
    return families.open_family(user=user).access


def key_of(user: User, *scopes: Scope) -> str:
    return ApiClient.with_key(user, *scopes).headers["Authorization"].removeprefix("Bearer ")


OK, NOBODY, FORBIDDEN = (200, ""), (401, "signed_out"), (403, "forbidden")
NO_ACCOUNT, NO_SCOPE, NO_KEYS = (403, "account_needed"), (403, "scope_missing"), (403, "key_not_enough")


@pytest.mark.parametrize(
    ("permission", "nobody", "guest", "user", "reading_key"),
    [
        (PersonRequired, NOBODY, OK, OK, OK),
        (PersonOrNobody, OK, OK, OK, OK),
        (Reader, OK, OK, OK, OK),
        (MemberRequired, NOBODY, NO_ACCOUNT, OK, OK),
        (OwnSignIn, NOBODY, OK, OK, NO_KEYS),
        (MemberSignIn, NOBODY, NO_ACCOUNT, OK, NO_KEYS),
    ],
)
def test_who_passes_which_permission(permission, nobody, guest, user, reading_key) -> None:
    view, person = endpoint(permission), make_user()
    answers = [ask(view), ask(view, bearer_of(make_guest())), ask(view, bearer_of(person))]
    assert [*answers, ask(view, key_of(person, Scope.READ))] == [nobody, guest, user, reading_key]


def test_a_key_reads_and_writes_by_its_scopes(owner: User) -> None:
    view = endpoint(PersonRequired)
    reading, writing = key_of(owner, Scope.READ), key_of(owner, Scope.WRITE)
    assert [ask(view, reading), ask(view, reading, "post")] == [OK, NO_SCOPE]
    assert [ask(view, writing), ask(view, writing, "post")] == [NO_SCOPE, OK]
    chat = endpoint(PersonRequired, scopes={"POST": Scope.CHAT})
    assert [ask(chat, writing, "post"), ask(chat, key_of(owner, Scope.CHAT), "post")] == [NO_SCOPE, OK]


def test_a_role_does_what_its_permissions_say(owner: User) -> None:
    view = endpoint(MayDo, permissions={"GET": "faqs.view_faq", "POST": "personas.publish_persona"})
    moderator, admin = make_moderator(), make_admin()
    assert [ask(view), ask(view, bearer_of(owner)), ask(view, bearer_of(make_guest()))] == [
        NOBODY,
        FORBIDDEN,
        FORBIDDEN,
    ]
    assert [ask(view, bearer_of(moderator)), ask(view, bearer_of(moderator), "post")] == [OK, FORBIDDEN]
    assert [ask(view, bearer_of(admin)), ask(view, bearer_of(admin), "post")] == [OK, OK]
    assert ask(view, key_of(moderator, Scope.READ, Scope.WRITE, Scope.CHAT)) == NO_SCOPE
    assert ask(view, key_of(moderator, Scope.STAFF)) == OK
    assert ask(view, key_of(owner, Scope.STAFF)) == FORBIDDEN, "a scope adds nothing to a role"


def test_what_staff_read_takes_a_key_its_scope() -> None:
    def told(self, request: Request) -> Response:
        return Response({"code": f"{','.join(audience_of(request))} {may(request, 'faqs.view_faq')}"})

    view, moderator = endpoint(Reader, get=told), make_moderator()
    everything = (200, "guests,users,staff True")
    assert ask(view) == ask(view, bearer_of(make_guest())) == (200, "guests False")
    assert ask(view, bearer_of(make_user())) == ask(view, key_of(moderator, Scope.READ)) == (200, "guests,users False")
    assert ask(view, bearer_of(moderator)) == ask(view, key_of(moderator, Scope.STAFF)) == everything
    assert ask(view, key_of(make_user(), Scope.STAFF)) == ask(view, key_of(moderator, Scope.CHAT)) == NO_SCOPE


def test_a_method_without_a_permission_is_nobodys() -> None:
    view = endpoint(MayDo, permissions={"GET": "faqs.view_faq"})
    assert ask(view, bearer_of(make_admin()), "post") == FORBIDDEN
    both = endpoint(MayDo, permissions={"*": "faqs.view_faq"})
    assert ask(both, bearer_of(make_moderator()), "post") == OK


def test_signing_in_notes_that_one_is_here(owner: User) -> None:
    User.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    ApiClient.of(owner).get("me")
    owner.refresh_from_db()
    assert owner.last_seen_at.year > 2020
    User.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    ApiClient().post("auth/login", {"email": owner.email, "password": PASSWORD})
    owner.refresh_from_db()
    assert owner.last_seen_at.year > 2020
