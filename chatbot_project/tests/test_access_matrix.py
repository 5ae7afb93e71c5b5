"""Walks access_matrix.py over the real URL configuration."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import api_keys, families, restriction, services, tokens
from accounts.models import User
from accounts.privacy import exports
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.api.errors import not_found_view
from chatbot_project.lib.api.openapi import METHODS
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests.access_matrix import PASSWORD, REFUSALS, Absent, Ids, Row, nameless, rows
from conversations import keeping
from conversations.models import ModerationItem
from conversations.tests.factories import ask, end, make_exchange
from faqs.services import edit_faq
from faqs.tests.factories import make_category, make_faq
from faqs.tests.test_gaps import gap_of
from faqs.translations import link_translation
from personas.services import edit_draft
from personas.tests.factories import make_persona, republish

pytestmark = pytest.mark.django_db

CANARY = "canary-7f3b"
ROWS = rows()
#: Told of every answer anew, or of its request.
PASSING_HEADERS = {"RateLimit-Remaining", "RateLimit-Reset", "X-Request-ID", "X-Correlation-ID"}


# --- the table holds what there is


def operations(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of everything that the URL configuration answers."""
    for entry in patterns:
        path = prefix + nameless(str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from operations(entry.url_patterns, path)
        elif isinstance(entry, URLPattern) and path.startswith(("api/v1/", "v1/")):
            if entry.callback is not_found_view:
                continue  # whatever there is not
            view = getattr(entry.callback, "cls", None) or getattr(entry.callback, "view_class", None)
            assert view is not None, f"{path} is answered by no class, so its methods are not known"
            for method in METHODS:
                if hasattr(view, method):
                    yield method.upper(), f"/{path}"


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    found = set(operations(get_resolver().url_patterns))
    listed = [row.operation for row in ROWS]
    assert sorted(found - set(listed)) == [], "operations without a row"
    assert sorted(set(listed) - found) == [], "rows without an operation"
    assert len(listed) == len(set(listed))


def test_every_operation_stands_in_the_schema() -> None:
    schema = Client().get("/api/schema/").json()
    told = {(method.upper(), nameless(path)) for path, methods in schema["paths"].items() for method in methods}
    assert {row.operation for row in ROWS} == told


# --- the people, and the owner's things


@dataclass
class World:
    """Everybody's way in, and the ids of the owner's things."""

    people: dict[str, User]
    ways: dict[str, ApiClient]
    ids: dict[str, str]


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[dict[str, User], dict[str, str]]]:
    """People and the owner's things, made once, in a transaction around those of the tests."""
    fast = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
    with django_db_blocker.unblock(), fast, transaction.atomic():
        owner = make_user("owner@example.org", PASSWORD, username="owner")
        people = {
            "owner": owner,
            "other": make_user("other@example.org", "a password of another"),
            "guest": make_guest(),
            "moder.": make_moderator(),
            "admin": make_admin(),
        }
        yield people, things_of(owner)
        transaction.set_rollback(True)


@pytest.fixture
def world(kept: tuple[dict[str, User], dict[str, str]], db: None) -> World:
    people, ids = kept
    for person in people.values():
        person.refresh_from_db()  # as before what the test before did with them
    ways = {name: ApiClient.of(person) for name, person in people.items()}
    ways["nobody"] = ApiClient()
    return World(people, ways, ids)


def things_of(owner: User) -> dict[str, str]:
    """Ids of one thing of each kind. What is no thing's id begins with ``-``."""
    return accounts_of(owner) | conversations_of(owner) | knowledge()


def accounts_of(owner: User) -> dict[str, str]:
    return {
        "-email": owner.email,
        "purpose": "improvement",
        "export": made_export(owner),
        "person": str(owner.pk),
        "-refresh": families.open_family(user=owner).refresh,
        "-reset": tokens.reset_token(owner),
        "key": str(api_keys.create_key(user=owner, name=CANARY, scopes=[Scope.READ])[0].pk),
        "session": str(families.open_family(user=owner, device=CANARY).family.pk),
    }


def made_export(owner: User) -> str:
    request = exports.request_export(user=owner)
    assert exports.make_export(request.pk)
    return str(request.pk)


def conversations_of(owner: User) -> dict[str, str]:
    persona = make_persona()
    republish(persona, description="The second version.")
    edit_draft(persona=persona, actor=None, description="The third, perhaps.")
    asked = make_exchange(owner, f"What is {CANARY}?", f"It is {CANARY}.", persona=persona)
    end(asked.reply, f"It is {CANARY}.", source="unknown", offers=[{"kind": "handover", "text": "", "done": False}])
    stopped = end(ask(owner, persona=persona).reply, CANARY, status="stopped")
    held = ModerationItem.objects.create(owner=owner, message=asked.question, action="block", category="other")
    deleted = make_exchange(owner, persona=persona).conversation
    keeping.delete_conversation(user=owner, conversation_id=deleted.pk)
    return {
        "persona": persona.slug,
        "model": f"persona:{persona.slug}",
        "-model": f"persona:{persona.slug}",
        "conversation": str(asked.conversation.pk),
        "deleted": str(deleted.pk),
        "question": str(asked.question.pk),
        "reply": str(asked.reply.pk),
        "stopped": str(stopped.pk),
        "held": str(held.pk),
    }


def knowledge() -> dict[str, str]:
    category, empty = make_category(), make_category()
    faq = make_faq(category=category)
    edit_faq(faq=faq, actor=None, answer="On the first page.")
    german, french = make_faq("Wo ist Seite 7?", language="de"), make_faq("Où est la page 7 ?", language="fr")
    link_translation(faq=faq, other=french, actor=None)
    found = {"faq": faq, "draft": make_faq(published=False), "german": german, "french": french}
    return {name: str(each.pk) for name, each in found.items()} | {
        "number": "1",
        "category": category.slug,
        "empty": empty.slug,
        "gap": str(gap_of("Where is the dragon's cave?").pk),
    }


# --- one call


@dataclass(frozen=True)
class Answer:
    """What of an answer can tell its reader anything."""

    status: int
    code: str
    body: str
    headers: Mapping[str, str]


def call(row: Row, way: ApiClient, ids: Ids) -> Answer:
    """The answer to ``row`` on ``ids``; nothing that it did stays."""
    blocking_redis().flushdb()
    body = row.body(ids)
    data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    with transaction.atomic():
        response = getattr(way.client, row.method.lower())(row.address(ids), headers=way.headers, **data)
        transaction.set_rollback(True)
    return read(response)


def read(response: HttpResponseBase) -> Answer:
    streaming = getattr(response, "streaming", False)
    text = "" if streaming else response.content.decode()  # type: ignore[attr-defined]
    code = ""
    if response.status_code >= 400:
        told = json.loads(text)
        code = told["code"] if "code" in told else told["error"]["code"]
    headers = {name: value for name, value in response.headers.items() if name not in PASSING_HEADERS}
    return Answer(response.status_code, code, text, headers)


def expected(outcome: str) -> tuple[int, str]:
    return REFUSALS[outcome] if outcome in REFUSALS else (int(outcome), "")


def outcome_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


# --- the walk


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_everybody_gets_what_the_table_says(row: Row, world: World, subtests: Any) -> None:
    for check in (
        each_caller_is_answered_as_the_table_says,
        anothers_thing_answers_to_the_letter_as_an_absent_one,
        an_api_key_does_what_its_scopes_say_and_no_more,
        who_has_paused_processing_reads_and_changes_nothing,
        who_is_suspended_gets_nowhere_with_what_they_had,
    ):
        with subtests.test(check.__name__):
            check(row, world)


def each_caller_is_answered_as_the_table_says(row: Row, world: World) -> None:
    answers = {name: call(row, way, world.ids) for name, way in world.ways.items()}
    assert {name: outcome_of(answer) for name, answer in answers.items()} == {
        name: expected(row.outcomes[name]) for name in world.ways
    }
    for name, answer in answers.items():
        if name != "owner" and row.needs != "-":
            assert CANARY not in answer.body, f"{name} is told of the owner's things"


def anothers_thing_answers_to_the_letter_as_an_absent_one(row: Row, world: World) -> None:
    if not row.names_things:
        return
    absent = Absent(world.ids)
    for name, way in world.ways.items():
        theirs, nothing = call(row, way, world.ids), call(row, way, absent)
        if row.outcomes[name] in REFUSALS:
            assert theirs == nothing, f"{name} can tell that it exists"
        else:
            assert outcome_of(nothing) == row.absent, f"{name} on nothing"


def an_api_key_does_what_its_scopes_say_and_no_more(row: Row, world: World) -> None:
    if row.needs == "-":
        return  # who calls is not looked at
    caller = "admin" if row.needs == "staff" else "owner"
    person, outcome = world.people[caller], expected(row.outcomes[caller])
    if row.needs == "self":
        every = ApiClient.with_key(person, *Scope)
        assert outcome_of(call(row, every, world.ids)) == REFUSALS["no-key"]
        return
    needed = Scope(row.needs)
    others = ApiClient.with_key(person, *(scope for scope in Scope if scope != needed))
    assert outcome_of(call(row, others, world.ids)) == REFUSALS["scope"]
    assert outcome_of(call(row, ApiClient.with_key(person, needed), world.ids)) == outcome


def who_is_suspended_gets_nowhere_with_what_they_had(row: Row, world: World) -> None:
    owner, token, page = world.people["owner"], world.ways["owner"], ApiClient()
    key = ApiClient.with_key(owner, *Scope)
    page.client.force_login(owner)
    services.set_suspended(actor=world.people["admin"], user=owner, suspended=True, reason="x")
    outcome = row.outcomes["susp."]
    # Their session is over: the page is nobody's.
    of_page = row.outcomes["nobody"] if outcome == "gone" else outcome
    told = [outcome_of(call(row, way, world.ids)) for way in (token, key, page)]
    assert told == [expected(outcome), expected(outcome), expected(of_page)]


def who_has_paused_processing_reads_and_changes_nothing(row: Row, world: World) -> None:
    owner, token, page, without_pause = world.people["owner"], world.ways["owner"], ApiClient(), ApiClient()
    key = ApiClient.with_key(owner, *Scope)
    page.client.force_login(owner)
    without_pause.client.force_login(owner)
    as_usual = outcome_of(call(row, without_pause, world.ids))
    restriction.restrict(actor=owner, user=owner)
    outcome = row.outcomes["paused"]
    of_key = "no-key" if row.needs == "self" and outcome != "paused" else outcome
    of_page = expected("paused") if outcome == "paused" and not row.path.startswith("/v1/") else as_usual
    told = [outcome_of(call(row, way, world.ids)) for way in (token, key, page)]
    restriction.resume(actor=owner, user=owner)
    assert told == [expected(outcome), expected(of_key), of_page]


STAFF_ROWS = [row for row in ROWS if row.needs == "staff"]


def test_staff_without_their_second_factor_have_nothing_of_their_role(world: World, settings: Any) -> None:
    admin, page = world.people["admin"], ApiClient()
    page.client.force_login(admin)
    ways = {"token": world.ways["admin"], "key": ApiClient.with_key(admin, *Scope), "page": page}
    settings.REQUIRE_STAFF_2FA = True
    told = {(row.name, name): outcome_of(call(row, way, world.ids)) for row in STAFF_ROWS for name, way in ways.items()}
    assert {each: outcome for each, outcome in told.items() if outcome != (403, "second_factor_needed")} == {}
    assert len(told) > 100
