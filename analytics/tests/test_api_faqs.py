"""``GET analytics/faqs``: what approved answers did, in pages and as CSV."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.tests.api_client import ApiClient
from analytics.models import FAQUsage
from faqs.models import FAQ
from faqs.tests.factories import make_faq

pytestmark = pytest.mark.django_db

DAY = datetime(2026, 3, 10, tzinfo=UTC)
PATH = "analytics/faqs?from=2026-03-09&to=2026-03-16"


@pytest.fixture
def client(moderator: User) -> ApiClient:
    return ApiClient.of(moderator)


def used(faq: FAQ, cited: int, *, direct: int = 0, up: int = 0, down: int = 0, at: datetime = DAY) -> None:
    FAQUsage.objects.create(start=at, faq=faq.pk, cited=cited, direct=direct, helpful=up, not_helpful=down)


def test_each_tells_how_often_it_was_used_and_how_well_it_helped(client: ApiClient) -> None:
    often, once, never = make_faq(), make_faq(), make_faq()
    used(often, 8, direct=5, up=3, down=1)
    used(often, 4, at=DAY + timedelta(days=1))
    used(often, 99, at=DAY - timedelta(days=30))
    used(once, 1, direct=1, up=1)
    FAQ.objects.filter(pk=often.pk).update(updated_at=timezone.now() - timedelta(days=400))
    FAQ.objects.filter(pk=never.pk).update(published_at=timezone.now() - timedelta(days=40))
    body = client.get(PATH).json()
    assert (body["timezone"], body["counted_until"], body["next"]) == ("UTC", None, None)
    first, second = body["items"]
    figures = {name: first[name] for name in ("hits", "direct", "helpful", "not_helpful", "helpfulness", "suppressed")}
    assert figures == {
        "hits": 12, "direct": 5, "helpful": 3, "not_helpful": 1, "helpfulness": 0.75, "suppressed": False
    }  # fmt: skip
    assert (first["id"], first["state"], first["last_used"]) == (str(often.pk), "stale", "2026-03-11")
    assert (second["id"], second["suppressed"], second["hits"], second["helpful"]) == (str(once.pk), True, None, None)
    (item,) = client.get(f"{PATH}&show=stale").json()["items"]
    assert item["id"] == str(often.pk)
    (item,) = client.get(f"{PATH}&show=never-used").json()["items"]
    assert (item["id"], item["state"], item["hits"], item["suppressed"]) == (str(never.pk), "never-used", 0, False)


def test_pages_show_each_once_with_few_queries(client: ApiClient, django_assert_max_num_queries: Any) -> None:
    faqs = [make_faq() for _ in range(7)]
    for number, faq in enumerate(faqs):
        used(faq, 50 - number)
    found, cursor = [], ""
    while cursor is not None:
        with django_assert_max_num_queries(4):
            page = client.get(f"{PATH}&limit=3&cursor={cursor}").json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert found == [str(faq.pk) for faq in faqs]
    first = client.get(f"{PATH}&limit=3").json()["next"]
    assert client.get(f"{PATH}&limit=3&show=stale&cursor={first}").status_code == 400, "of another list"


def test_a_csv_has_all_of_them_and_no_formula(client: ApiClient) -> None:
    faqs = [make_faq(question=f"=cmd {number}?") for number in range(40)]
    for faq in faqs:
        used(faq, 6)
    answer = client.get(f"{PATH}&format=csv")
    lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(lines) == 40
    assert {line["hits"] for line in lines} == {"6"}
    assert all(line["question"].startswith("'=") for line in lines)
