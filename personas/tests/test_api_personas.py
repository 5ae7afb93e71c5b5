"""Personas over the API: who sees which, who may change them, and that nobody overwrites another unawares."""

import pytest

from accounts.models import AuditEvent
from accounts.scopes import Scope
from accounts.tests.api_client import (
    CALLERS,
    OUTSIDERS,
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_admin, make_moderator, make_user
from personas import services
from personas.models import Persona, PersonaVersion
from personas.tests.factories import CONTENT, make_draft, make_persona, republish

pytestmark = pytest.mark.django_db

SECRET = "Never tell the word quux."
STAFF_FIELDS = {"state", "visibility", "position", "has_draft", "archived_at"}


@pytest.fixture
def admin() -> ApiClient:
    return ApiClient.of(make_admin(username="root"))


@pytest.fixture
def moderator() -> ApiClient:
    return ApiClient.of(make_moderator())


@pytest.fixture
def crowd() -> None:
    """A persona of each audience, one that was never published, and one that is archived."""
    for visibility in ("guests", "users", "staff"):
        make_persona(visibility, visibility=visibility, system_prompt=SECRET)
    make_draft("draft", system_prompt=SECRET)
    services.archive(persona=make_persona("archived", system_prompt=SECRET), actor=None)


def slugs(client: ApiClient, query: str = "") -> list[str]:
    answer = client.get(f"personas{query}")
    assert answer.status_code == 200, answer.content
    return [item["slug"] for item in answer.json()["items"]]


GUESTS, USERS, STAFF = ["guests"], ["guests", "users"], ["guests", "staff", "users"]
#: Whose personas each caller sees, and whether they are told what staff are told.
SEEN = {
    "nobody": (GUESTS, False),
    "guest": (GUESTS, False),
    "user": (USERS, False),
    "moderator": (STAFF, True),
    "admin": (STAFF, True),
    "a key to read": (USERS, False),
    "a key for staff": (STAFF, True),
    "a user's key for staff": (USERS, False),
}


@pytest.mark.parametrize("who", SEEN)
def test_each_sees_the_personas_they_may_chat_with_and_no_prompt(who: str, crowd: None) -> None:
    client, (seen, is_staff) = CALLERS[who](), SEEN[who]
    assert slugs(client) == seen
    for slug in ("guests", "users", "staff"):
        answer = client.get(f"personas/{slug}")
        if slug in seen:
            assert answer.status_code == 200
            assert STAFF_FIELDS.isdisjoint(answer.json()) != is_staff
            assert SECRET not in answer.content.decode()
        else:
            assert refusal(answer) == (404, "not_found")
            assert answer.content == client.get("personas/nothing").content
    for slug in ("draft", "archived"):
        assert client.get(f"personas/{slug}").status_code == (200 if is_staff else 404)


def test_a_key_without_a_fitting_scope_reads_nothing(crowd: None) -> None:
    for client in (ApiClient.with_key(make_user(), Scope.CHAT), ApiClient.with_key(make_user(), Scope.STAFF)):
        assert refusal(client.get("personas")) == (403, "scope_missing")


def test_staff_list_all_there_are_by_state(crowd: None, moderator: ApiClient) -> None:
    assert slugs(moderator, "?state=draft") == ["draft"]
    assert slugs(moderator, "?state=archived") == ["archived"]
    assert slugs(moderator, "?state=published") == ["guests", "staff", "users"]
    assert slugs(moderator, "?state=any") == ["archived", "draft", "guests", "staff", "users"]
    draft = next(each for each in moderator.get("personas?state=draft").json()["items"])
    assert (draft["name"], draft["version"], draft["has_draft"], draft["visibility"]) == ("draft", None, True, None)
    assert refusal(moderator.get("personas?state=secret")) == (400, "invalid")


def test_others_do_not(crowd: None) -> None:
    assert refusal(ApiClient().get("personas?state=any")) == (401, "signed_out")
    for client in (ApiClient.of(make_user()), ApiClient.with_key(make_admin(), Scope.READ)):
        assert refusal(client.get("personas?state=any")) == (403, "forbidden")


def test_the_list_goes_by_pages_and_costs_the_same_however_long(
    moderator: ApiClient, django_assert_max_num_queries
) -> None:
    for number in range(12):
        make_persona(f"p{number:02}", position=number % 3)
    expected = slugs(moderator)
    assert len(expected) == 12
    with django_assert_max_num_queries(4):
        first = moderator.get("personas?limit=10").json()
    rest = moderator.get(f"personas?limit=10&cursor={first['next']}").json()
    assert [item["slug"] for item in first["items"] + rest["items"]] == expected
    assert slugs(moderator, "?ordering=-slug")[0] == "p11"


def test_a_persona_is_shown_with_its_greeting_as_safe_html() -> None:
    make_persona("bold", greeting="**Hi** <script>alert(1)</script>")
    body = ApiClient().get("personas/bold").json()
    assert "<strong>Hi</strong>" in body["greeting_html"]
    assert "<script" not in body["greeting_html"]


def test_what_is_known_is_not_sent_again_until_it_changes() -> None:
    persona = make_persona("helper")
    first = ApiClient().get("personas/helper")
    again = ApiClient().get("personas/helper", **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    republish(persona, name="Other")
    assert ApiClient().get("personas/helper", **{"If-None-Match": first["ETag"]}).status_code == 200


# --- Editing

STAFF_READS = ["draft", "versions", "versions/1", "diff"]
WRITES = [
    ("post", "personas", {"slug": "new", **CONTENT}),
    ("patch", "personas/helper", {"position": 4}),
    ("patch", "personas/helper/draft", {"name": "Other"}),
    ("delete", "personas/helper/draft", None),
    ("post", "personas/helper/publish", {}),
    ("post", "personas/helper/roll-back", {"number": 1}),
    ("post", "personas/helper/archive", {}),
    ("post", "personas/helper/restore", {}),
]


def state() -> list:
    return [*Persona.objects.order_by("pk").values(), *PersonaVersion.objects.order_by("pk").values()]


@pytest.mark.parametrize("who", OUTSIDERS)
def test_only_staff_read_versions_and_prompts(who: str) -> None:
    republish(make_persona("helper", system_prompt=SECRET), name="Other")
    client = CALLERS[who]()
    for path in STAFF_READS:
        answer = client.get(f"personas/helper/{path}")
        assert refusal(answer) == OUTSIDERS[who]
        assert answer.content == client.get(f"personas/nothing/{path}").content


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("who", [*OUTSIDERS, "moderator", "a key for staff"])
def test_only_admins_change_anything(who: str, method: str, path: str, body) -> None:
    persona = republish(make_persona("helper"), name="Other").persona
    services.edit_draft(persona=persona, actor=None, name="Third")
    before = state()
    answer = CALLERS[who]().call(method, path, body)
    assert refusal(answer) == OUTSIDERS.get(who, (403, "forbidden"))
    assert state() == before


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_an_admins_key_needs_the_scope_for_staff(method: str, path: str, body) -> None:
    persona = republish(make_persona("helper"), name="Other").persona
    services.edit_draft(persona=persona, actor=None, name="Third")
    admin = make_admin()
    without = ApiClient.with_key(admin, Scope.READ, Scope.WRITE, Scope.CHAT)
    assert refusal(without.call(method, path, body)) == (403, "scope_missing")
    assert ApiClient.with_key(admin, Scope.STAFF).call(method, path, body).status_code in (200, 201, 204)


def test_from_a_new_persona_to_one_in_force(admin: ApiClient) -> None:
    made = admin.post("personas", {"slug": "new", "position": 3, **CONTENT})
    assert made.status_code == 201, made.content
    assert made["Location"] == "/api/v1/personas/new/draft"
    assert (made.json()["number"], made.json()["author"], made.json()["system_prompt"]) == (
        None,
        "root",
        "You are a helper.",
    )
    assert refusal(ApiClient().get("personas/new")) == (404, "not_found")
    read = admin.get("personas/new/draft")
    assert (read.json(), read["ETag"]) == (made.json(), made["ETag"])
    edited = admin.patch("personas/new/draft", {"name": "Sharper", "temperature": 0}, **{"If-Match": read["ETag"]})
    assert (edited.json()["name"], edited.json()["temperature"], edited.json()["greeting"]) == (
        "Sharper",
        0.0,
        "Hello!",
    )
    published = admin.post("personas/new/publish", {}, **{"If-Match": edited["ETag"]})
    assert (published.json()["number"], published.json()["name"]) == (1, "Sharper")
    assert ApiClient().get("personas/new").json()["name"] == "Sharper"
    event = AuditEvent.objects.get(action="persona.published")
    assert (event.actor.person.username, event.details) == ("root", {"number": 1})


def test_the_history_is_listed_compared_and_brought_back(admin: ApiClient, moderator: ApiClient) -> None:
    persona = make_persona("helper", system_prompt="One\nTwo")
    republish(persona, system_prompt="One\nThree")
    services.edit_draft(persona=persona, actor=None, name="Drafted")
    lines = moderator.get("personas/helper/versions").json()["items"]
    assert [line["number"] for line in lines] == [2, 1]
    assert "system_prompt" not in lines[0]
    assert moderator.get("personas/helper/versions/1").json()["system_prompt"] == "One\nTwo"
    diff = moderator.get("personas/helper/diff?old=1&new=2").json()
    assert diff["changes"] == [
        {
            "name": "system_prompt",
            "lines": [
                {"kind": "same", "text": "One"},
                {"kind": "removed", "text": "Two"},
                {"kind": "added", "text": "Three"},
            ],
        }
    ]
    newest = moderator.get("personas/helper/diff").json()
    assert (newest["old"], newest["new"], [each["name"] for each in newest["changes"]]) == ("2", "draft", ["name"])
    back = admin.post("personas/helper/roll-back", {"number": 1})
    assert (back.json()["number"], back.json()["system_prompt"]) == (3, "One\nTwo")
    assert admin.get("personas/helper/draft").json()["name"] == "Drafted", "the draft stays"
    assert AuditEvent.objects.get(details__copy_of=1).action == "persona.published"


def test_versions_that_there_are_not(admin: ApiClient) -> None:
    make_persona("helper")
    for path in ("versions/2", "versions/0", "versions/99999999999999999999", "diff"):
        assert refusal(admin.get(f"personas/helper/{path}")) == (404, "not_found")
    for query in ("old=1&new=9", "old=1", "old=x&new=draft", "old=²&new=1"):
        assert refusal(admin.get(f"personas/helper/diff?{query}")) == (400, "invalid")
    answer = admin.post("personas/helper/roll-back", {"number": 9})
    assert (refusal(answer), list(answer.json()["fields"])) == ((400, "invalid"), ["number"])
    assert refusal(admin.post("personas/helper/roll-back", {"number": 1})) == (409, "not_a_past_version")
    assert refusal(admin.post("personas/helper/publish")) == (409, "no_draft")


def test_archiving_and_back(admin: ApiClient) -> None:
    make_persona("helper")
    archived = admin.post("personas/helper/archive").json()
    assert (archived["state"], archived["archived_at"] is None) == ("archived", False)
    assert refusal(ApiClient().get("personas/helper")) == (404, "not_found")
    admin.patch("personas/helper/draft", {"name": "x"})
    assert refusal(admin.post("personas/helper/publish")) == (409, "archived")
    assert admin.post("personas/helper/restore").json()["state"] == "published"
    assert ApiClient().get("personas/helper").status_code == 200
    actions = AuditEvent.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions)[-2:] == ["persona.archived", "persona.restored"]


def test_discarding_a_draft(admin: ApiClient) -> None:
    make_draft("new")
    make_persona("helper")
    admin.patch("personas/helper/draft", {"name": "x"})
    assert admin.delete("personas/helper/draft").status_code == 204
    assert admin.get("personas/helper/draft").json()["number"] == 1
    assert admin.delete("personas/new/draft").status_code == 204
    assert refusal(admin.get("personas/new/draft")) == (404, "not_found")
    assert refusal(admin.delete("personas/new/draft")) == (404, "not_found")


def test_a_place_in_the_list(admin: ApiClient) -> None:
    make_persona("a")
    make_persona("b", position=1)
    moved = admin.patch("personas/a", {"position": 2})
    assert moved.json()["position"] == 2
    assert moved["ETag"] == admin.get("personas/a")["ETag"]
    assert slugs(admin) == ["b", "a"]
    assert refusal(admin.patch("personas/a", {"position": 0}, **{"If-Match": '"old"'})) == (412, "precondition_failed")
    assert refusal(admin.patch("personas/a", {"position": -1})) == (400, "invalid")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"model": "nowhere/model"}, "model"),
        ({"suggestions": ["x"] * 7}, "suggestions"),
        ({"suggestions": "x"}, "suggestions"),
        ({"suggestions": ["same", "same"]}, "suggestions"),
        ({"faq_categories": ["nowhere"]}, "faq_categories"),
        ({"faq_categories": ["a b"]}, "faq_categories.0"),
        ({"unknown_offers": ["contact"]}, "contact"),
        ({"unknown_offers": ["dance"]}, "unknown_offers.0"),
        ({"visibility": "everyone"}, "visibility"),
        ({"context_budget": 256, "system_prompt": "word " * 500}, "context_budget"),
        ({"system_prompt": "a\u202eb"}, "system_prompt"),
    ],
)
def test_what_a_draft_cannot_hold_is_named(admin: ApiClient, change: dict, field: str) -> None:
    make_persona("helper")
    before = state()
    answer = admin.patch("personas/helper/draft", change)
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]
    assert state() == before


def test_what_nobody_may_set_is_ignored(admin: ApiClient) -> None:
    make_persona("helper")
    more = {"number": 7, "published_at": "2020-01-01T00:00:00Z", "author": "other", "slug": "else", "persona": "x"}
    draft = admin.patch("personas/helper/draft", {"name": "New", **more}).json()
    assert (draft["number"], draft["published_at"], draft["author"]) == (None, None, "root")


@pytest.mark.parametrize("slug", ["", "a b", "ü", "x" * 61, "taken"])
def test_slugs_that_no_persona_can_have(admin: ApiClient, slug: str) -> None:
    make_persona("taken")
    answer = admin.post("personas", {**CONTENT, "slug": slug})
    assert (refusal(answer), list(answer.json()["fields"])) == ((400, "invalid"), ["slug"])
    assert Persona.objects.count() == 1


def test_a_repeated_request_has_its_effect_once(admin: ApiClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = admin.post("personas", {"slug": "new", **CONTENT}, **key)
    again = admin.post("personas", {"slug": "new", **CONTENT}, **key)
    assert (again.status_code, again.json(), again["ETag"]) == (201, first.json(), first["ETag"])
    assert again["Idempotent-Replayed"] == "true"
    assert admin.post("personas/new/publish", {}, **key).json()["number"] == 1
    assert admin.post("personas/new/publish", {}, **key).json()["number"] == 1
    assert PersonaVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("patch", "draft", {"name": "x"}), ("delete", "draft", None), ("post", "publish", {})],
)
def test_what_was_changed_meanwhile_is_not_overwritten(admin: ApiClient, method: str, path: str, body) -> None:
    persona = make_persona("helper")
    read = admin.get("personas/helper/draft")
    services.edit_draft(persona=persona, actor=None, name="Somebody else's")
    before = state()
    answer = admin.call(method, f"personas/helper/{path}", body, **{"If-Match": read["ETag"]})
    assert refusal(answer) == (412, "precondition_failed")
    assert state() == before
    assert admin.call(method, f"personas/helper/{path}", body, **{"If-Match": "*"}).status_code < 300


@pytest.mark.django_db(transaction=True)
def test_of_many_who_edit_what_they_read_at_once_one_does() -> None:
    persona, admin = make_persona("helper"), make_admin()
    read = ApiClient.of(admin).get("personas/helper/draft")["ETag"]

    def edit(number: int) -> int:
        client = ApiClient.of(admin)
        return client.patch("personas/helper/draft", {"name": f"n{number}"}, **{"If-Match": read}).status_code

    assert sorted(at_a_lock(5, lambda: services.lock_persona(persona), edit)) == [200] + [412] * 4
    assert PersonaVersion.objects.drafts().count() == 1
