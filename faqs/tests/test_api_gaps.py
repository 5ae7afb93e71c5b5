"""Gaps over the API: for editors alone, settled as in the admin, and who asked is never told."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import AuditEvent
from accounts.tests.api_client import (
    CALLERS,
    OUTSIDERS,
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.factories import agree, make_moderator, make_user
from faqs import gaps
from faqs.models import FAQ, Gap
from faqs.tests.test_gaps import gap_of

pytestmark = pytest.mark.django_db

PIN = "How can I reset my PIN?"


@pytest.fixture
def moderator() -> ApiClient:
    return ApiClient.of(make_moderator(username="mod"))


@pytest.fixture
def gap() -> Gap:
    return gap_of(PIN, person=agree(make_user(username="the-asker", email="asker@example.org")))


PATHS = [
    ("get", "faq-gaps", None),
    ("get", "faq-gaps/{gap}", None),
    ("post", "faq-gaps/{gap}/dismiss", {"reason": "Not ours."}),
    ("post", "faq-gaps/{gap}/reopen", {}),
    ("post", "faq-gaps/{gap}/draft", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_only_editors_reach_gaps(method: str, path: str, body: Any, gap: Gap) -> None:
    for who, expected in OUTSIDERS.items():
        for pk in (gap.pk, uuid4()):
            assert refusal(CALLERS[who]().call(method, path.format(gap=pk), body)) == expected
    gap.refresh_from_db()
    assert (gap.status, FAQ.objects.count()) == ("open", 0)
    answer = CALLERS["a key for staff"]().call(method, path.format(gap=gap.pk), body)
    assert answer.status_code in (200, 201)
    assert "asker" not in answer.content.decode()
    assert str(gap.questions.get().person_id) not in answer.content.decode()


def test_the_most_asked_come_first_and_settled_ones_when_asked_for(
    gap: Gap, moderator: ApiClient, django_assert_max_num_queries: Any
) -> None:
    gap_of("Where is the dragon's cave?", language="de", source="thumbs_down")
    gap_of(PIN)
    dismissed = gap_of("Who painted the moon yellow?")
    gaps.dismiss_gap(gap=dismissed, actor=None, reason="Not ours.")

    def counted(query: str = "") -> list[int]:
        return [item["count"] for item in moderator.get(f"faq-gaps{query}").json()["items"]]

    with django_assert_max_num_queries(3):
        assert counted() == [2, 1]
    assert counted("?status=any") == [2, 1, 1]
    assert counted("?status=dismissed") == counted("?language=de") == counted("?source=thumbs_down") == [1]
    first = moderator.get("faq-gaps?limit=1&status=any").json()
    rest = moderator.get(f"faq-gaps?limit=2&status=any&cursor={first['next']}").json()
    assert len({item["id"] for item in first["items"] + rest["items"]}) == 3
    for query in ("?status=lost", "?source=nowhere", "?language=x", "?ordering=question"):
        assert refusal(moderator.get(f"faq-gaps{query}")) == (400, "invalid")


def test_a_gap_is_dismissed_with_a_reason_and_reopened(gap: Gap, moderator: ApiClient) -> None:
    for reason in ("", "no", "x" * 301):
        answer = moderator.post(f"faq-gaps/{gap.pk}/dismiss", {"reason": reason})
        assert (refusal(answer), list(answer.json()["fields"])) == ((400, "invalid"), ["reason"])
    dismissed = moderator.post(f"faq-gaps/{gap.pk}/dismiss", {"reason": "Not ours."}).json()
    assert (dismissed["status"], dismissed["reason"], dismissed["questions"][0]["text"]) == (
        "dismissed",
        "Not ours.",
        PIN,
    )
    assert refusal(moderator.post(f"faq-gaps/{gap.pk}/dismiss", {"reason": "Again"})) == (409, "already_dismissed")
    assert moderator.post(f"faq-gaps/{gap.pk}/reopen").json()["status"] == "open"
    events = (
        AuditEvent.objects.filter(action__startswith="gap.")
        .order_by("pk")
        .values_list("action", "actor__person__username")
    )
    assert list(events) == [("gap.dismissed", "mod"), ("gap.reopened", "mod")]
    assert refusal(moderator.post(f"faq-gaps/{uuid4()}/reopen")) == (404, "not_found")


def test_an_faq_is_begun_for_a_gap_once(gap: Gap, moderator: ApiClient) -> None:
    made = moderator.post(f"faq-gaps/{gap.pk}/draft")
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["question"], body["answer"], body["status"], body["owner"]) == (PIN, "", "draft", "mod")
    assert moderator.get(f"faq-gaps/{gap.pk}").json()["faq"] == body["id"]
    assert refusal(moderator.post(f"faq-gaps/{gap.pk}/draft")) == (409, "already_drafted")
    assert refusal(moderator.post(f"faqs/{body['id']}/publish")) == (409, "not_publishable")
    moderator.patch(f"faqs/{body['id']}", {"answer": "At any machine."})
    assert moderator.post(f"faqs/{body['id']}/publish").json()["status"] == "published"
