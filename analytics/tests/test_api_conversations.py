"""``GET analytics/conversations``: conversations in figures, in pages."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.retention import policies
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_moderator
from analytics.api.views import ORDERINGS
from analytics.tests.history import make_history
from conversations.models import Conversation, Feedback, Message
from conversations.tests.factories import ask, make_conversation, make_exchange, make_persona
from personas.models import Persona

pytestmark = pytest.mark.django_db

PATH = "analytics/conversations"
FIGURES = ("questions", "replies", "tokens", "feedback")


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona(slug="support")


def ids(answer) -> list[str]:
    return [item["id"] for item in answer.json()["items"]]


def test_an_item_tells_how_it_went_and_nothing_of_what_was_said(moderator: User, owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, turns=2, persona=persona)
    replies = Message.objects.filter(conversation=conversation, role="assistant")
    replies.update(prompt_tokens=10, completion_tokens=5)
    Feedback.objects.create(message=replies[0], value=1, comment="because")
    ask(owner, conversation_id=conversation.pk)
    (item,) = ApiClient.of(moderator).get(PATH).json()["items"]
    assert set(item) == {"id", "user", "persona", "persona_version", "created_at", "updated_at", *FIGURES}
    assert item["user"] == {"id": str(owner.pk), "username": owner.username}
    assert (item["id"], item["persona"], item["persona_version"]) == (str(conversation.pk), "support", 1)
    assert item["questions"] == 3
    assert item["replies"] == {"completed": 2, "stopped": 0, "interrupted": 0, "failed": 0, "live": 1}
    assert item["tokens"] == {"prompt": 20, "completion": 10, "estimated": 0}
    assert item["feedback"] == {"helpful": 1, "not_helpful": 0}


def test_a_conversation_without_messages_has_zeros(moderator: User, owner: User, persona: Persona) -> None:
    Conversation.objects.create(owner=owner, persona_version=persona.published, title="x")
    (item,) = ApiClient.of(moderator).get(PATH).json()["items"]
    assert (item["questions"], item["replies"]["completed"], item["tokens"]["prompt"]) == (0, 0, 0)


def test_moderators_and_admins_only(moderator: User, admin: User, owner: User, guest: User) -> None:
    assert refusal(ApiClient().get(PATH)) == (401, "signed_out")
    for person in (owner, guest):
        assert refusal(ApiClient.of(person).get(PATH)) == (403, "forbidden")
    assert refusal(ApiClient.with_key(moderator, Scope.READ).get(PATH)) == (403, "scope_missing")
    for client in (ApiClient.of(moderator), ApiClient.of(admin), ApiClient.with_key(admin, Scope.STAFF)):
        assert client.get(PATH).json() == {"items": [], "next": None}


def test_what_was_deleted_or_asked_in_passing_is_not_listed(moderator: User, owner: User, persona: Persona) -> None:
    kept, passing, deleted = (make_exchange(owner).conversation for _ in range(3))
    Conversation.objects.filter(pk=passing.pk).update(expires_at=timezone.now())
    Conversation.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    assert ids(ApiClient.of(moderator).get(PATH)) == [str(kept.pk)]


def test_what_policy_keeps_no_longer_is_not_listed(moderator: User, admin: User, owner: User, persona: Persona) -> None:
    old, kept = make_exchange(owner).conversation, make_exchange(owner).conversation
    Conversation.objects.filter(pk=old.pk).update(updated_at=timezone.now() - timedelta(days=31))
    policies.set_policy(actor=admin, data_class="content", days=30, reason="x")
    assert ids(ApiClient.of(moderator).get(PATH)) == [str(kept.pk)]


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_every_ordering_shows_each_once_over_pages_of_few_queries(
    moderator: User, owner: User, other: User, persona: Persona, ordering: str, django_assert_max_num_queries
) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    history = make_history(4, [owner, other], [persona, make_persona()], start, 30, size=25)
    listed = [c for c in history.conversations if c.deleted_at is None and c.expires_at is None]
    name = ordering.lstrip("-")
    wanted = sorted(listed, key=lambda c: (getattr(c, name), c.pk), reverse=ordering.startswith("-"))
    client, items, cursor = ApiClient.of(moderator), [], ""
    while cursor is not None:
        with django_assert_max_num_queries(5):
            page = client.get(f"{PATH}?ordering={ordering}&limit=4&cursor={cursor}").json()
        items += page["items"]
        cursor = page["next"]
    assert [item["id"] for item in items] == [str(conversation.pk) for conversation in wanted]
    for item, conversation in zip(items, wanted, strict=True):
        counted = history.figures(lambda row, pk=conversation.pk: getattr(row, "conversation_id", None) == pk)
        for figure in FIGURES:
            value = getattr(counted, figure)
            assert item[figure] == (value if isinstance(value, int) else value._asdict()), figure


def test_filters(moderator: User, owner: User, persona: Persona) -> None:
    other_persona = make_persona(slug="other")
    moments = [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 22, 30, tzinfo=UTC)]
    first, second = (make_exchange(owner, persona=each).conversation for each in (persona, other_persona))
    for conversation, moment in zip((first, second), moments, strict=True):
        Conversation.objects.filter(pk=conversation.pk).update(created_at=moment)
    client = ApiClient.of(moderator)
    assert ids(client.get(f"{PATH}?persona=support")) == [str(first.pk)]
    assert ids(client.get(f"{PATH}?persona=nobody")) == []
    assert ids(client.get(f"{PATH}?from=2026-03-29")) == [str(second.pk)]
    assert ids(client.get(f"{PATH}?to=2026-03-28")) == [str(first.pk)]
    assert ids(client.get(f"{PATH}?from=2026-03-28&to=2026-03-29&ordering=created_at")) == [
        str(first.pk),
        str(second.pk),
    ]
    assert ids(client.get(f"{PATH}?from=2026-03-30")) == []
    in_berlin = ApiClient.of(make_moderator(timezone="Europe/Berlin"))
    assert ids(in_berlin.get(f"{PATH}?from=2026-03-30&to=2026-03-30")) == [str(second.pk)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=x", "from"),
        ("to=1999-12-31", "to"),
        ("ordering=title", "ordering"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
    ],
)
def test_what_cannot_be_asked_for_is_named(moderator: User, query: str, field: str) -> None:
    answer = ApiClient.of(moderator).get(f"{PATH}?{query}")
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]
