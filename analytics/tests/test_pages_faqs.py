"""FAQs in figures: the lists of them, the page of one, and who sees these."""

import csv
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from analytics import rollups
from analytics.faq_figures import SETTLED_AFTER, STALE_AFTER, Sort, count_faqs, list_faqs, read_faq
from analytics.models import FAQUsage
from analytics.pages.asking import read_asked
from analytics.pages.faqs import PAGE
from analytics.pages.knowledge import knowledge_tables
from analytics.tests.test_pages_overview import browser_of
from analytics.totals import last_days
from faqs.models import FAQ, FAQFeedback, FAQVersion, Gap, GapQuestion
from faqs.tests.factories import make_faq

pytestmark = pytest.mark.django_db
LIST = "/analytics/faqs/"
NOWHERE = f"{LIST}01234567-89ab-4def-8123-456789abcdef/"


def used(faq: FAQ, days_ago: int = 3, *, cited: int = 1, direct: int = 0, up: int = 0, down: int = 0) -> None:
    """A line of the rollups, as if replies of that day had cited it."""
    zone = rollups.reporting_zone()
    day = timezone.now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    FAQUsage.objects.create(start=day, faq=faq.pk, cited=cited, direct=direct, helpful=up, not_helpful=down)


def aged(faq: FAQ, age: timedelta) -> FAQ:
    """As if it had been published, and last changed, so long ago."""
    then = timezone.now() - age
    FAQ.objects.filter(pk=faq.pk).update(updated_at=then, published_at=then)
    faq.refresh_from_db()
    return faq


@pytest.fixture
def faqs(db: None) -> dict[str, FAQ]:
    old, settled = STALE_AFTER + timedelta(days=1), SETTLED_AFTER + timedelta(days=1)
    made = {
        "loved": make_faq("Where is the cat?"),
        "loathed": make_faq("Where is the dog?"),
        "doubtful": make_faq("Where is the bird?"),
        "stale": aged(make_faq("Where is the fossil?"), old),
        "unused": aged(make_faq("Where is the yeti?"), settled),
        "new": make_faq("Where is the baby?"),
        "draft": make_faq("Where is the egg?", published=False),
        "long_ago": aged(make_faq("Where is the dodo?"), old),
    }
    used(made["loved"], cited=40, direct=10, up=18, down=2)
    used(made["loathed"], cited=30, up=4, down=16)
    used(made["doubtful"], cited=5, up=0, down=1)
    used(made["stale"], cited=7)
    used(made["stale"], 2, cited=1, direct=1)
    used(made["long_ago"], 300, cited=9)
    return made


def listed(sort: Sort, **more: Any) -> list[str]:
    period = last_days(30, timezone.now().date(), rollups.reporting_zone())
    assert count_faqs(period, sort) == len(list_faqs(period, sort))
    return [line.question.removeprefix("Where is the ").rstrip("?") for line in list_faqs(period, sort, **more)]


# --- the lists


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (Sort.MOST_USED, ["cat", "dog", "fossil", "bird"]),
        (Sort.LEAST_HELPFUL, ["dog", "bird", "cat"]),
        (Sort.STALE, ["fossil"]),
        (Sort.NEVER_USED, ["yeti"]),
    ],
)
def test_each_list_has_what_it_says(faqs: Any, sort: Sort, names: list[str]) -> None:
    assert listed(sort) == names
    assert listed(sort, first=1, most=1) == names[1:2]


def test_sums_are_those_of_the_days(faqs: dict[str, FAQ]) -> None:
    period = last_days(30, timezone.now().date(), rollups.reporting_zone())
    line = next(line for line in list_faqs(period, Sort.STALE))
    assert (line.totals.cited, line.totals.direct) == (8, 1)
    assert read_faq(faqs["stale"].pk, last_days(2, period.last, period.zone)).cited == 0
    assert read_faq(faqs["stale"].pk, last_days(3, period.last, period.zone)).cited == 1


def test_the_list_shows_use_helpfulness_and_how_sure_it_is(faqs: dict[str, FAQ], moderator: User) -> None:
    text = browser_of(moderator).get(LIST).content.decode()
    assert f'href="/analytics/faqs/{faqs["loved"].pk}/?range=30"' in text
    assert "90.0 %" in text
    assert "70–97 %" in text
    assert text.count("old but used</span>") == 1
    assert text.index("Where is the cat?") < text.index("Where is the dog?") < text.index("Where is the fossil?")


def test_the_list_comes_in_pages_and_as_a_file_whole(moderator: User, django_assert_num_queries: Any) -> None:
    made = [make_faq() for _number in range(PAGE + 2)]
    for number, faq in enumerate(made):
        used(faq, cited=100 - number)
    browser = browser_of(moderator)
    first = browser.get(f"{LIST}?range=7").content.decode()
    assert first.count('<th scope="row">') == PAGE
    assert "range=7&amp;page=2" in first
    second = browser.get(f"{LIST}?range=7&page=2").content.decode()
    assert second.count('<th scope="row">') == 2
    assert str(made[-1].pk) in second
    assert browser.get(f"{LIST}?page=99").content.decode().count('<th scope="row">') == 2, "the last one"
    answer = browser.get(f"{LIST}?format=csv")
    rows = list(csv.reader(answer.content.decode("utf-8-sig").splitlines()))
    assert len(rows) == PAGE + 3
    assert rows[1][:2] == [str(made[0].pk), made[0].question]
    assert rows[1][4] == "100"
    with django_assert_num_queries(5):  # session, person, how many, the lines, how far it is counted
        browser.get(LIST)


def test_a_question_is_no_formula(moderator: User) -> None:
    used(make_faq("=HYPERLINK(1) how?"))
    answer = browser_of(moderator).get(f"{LIST}?format=csv")
    cell = list(csv.reader(answer.content.decode("utf-8-sig").splitlines()))[1][1]
    assert not cell.startswith("=")


def test_an_empty_list_says_so(moderator: User) -> None:
    assert "There is none." in browser_of(moderator).get(f"{LIST}?sort=stale").content.decode()


# --- the page of one


def test_the_page_of_an_faq_shows_what_it_did(faqs: dict[str, FAQ], moderator: User, owner: User) -> None:
    faq = faqs["loved"]
    FAQFeedback.objects.create(faq=faq, user=owner, version=1, helpful=True)
    FAQFeedback.objects.create(faq=faq, visitor="v", version=1, helpful=False)
    FAQVersion.objects.create(faq=faq, number=2, content={}, created_at=timezone.now() - timedelta(days=5))
    text = browser_of(moderator).get(f"{LIST}{faq.pk}/").content.decode()
    assert "90.0 %" in text
    assert "70–97 % of 20" in text
    assert "50.0 %" in text, "helped on its page"
    assert "v2: changed on" in text
    assert f'href="/admin/faqs/faq/{faq.pk}/change/"' in text
    assert f'href="/help/faq/{faq.pk}/"' in text or f"{faq.pk}" in text
    for range_ in ("7", "365"):
        assert browser_of(moderator).get(f"{LIST}{faq.pk}/?range={range_}").status_code == 200
    today = timezone.now().date().isoformat()
    assert browser_of(moderator).get(f"{LIST}{faq.pk}/?from={today}&to={today}").status_code == 200


@pytest.mark.parametrize(("name", "told"), [("stale", "old but used"), ("unused", "never used"), ("new", "")])
def test_its_state_is_said(faqs: dict[str, FAQ], moderator: User, name: str, told: str) -> None:
    text = browser_of(moderator).get(f"{LIST}{faqs[name].pk}/").content.decode()
    assert [label for label in ("old but used", "never used") if f">{label}</span>" in text] == ([told] if told else [])


def test_gaps_near_it_are_listed(faqs: dict[str, FAQ], moderator: User) -> None:
    near, done, far = (
        Gap.objects.create(question=f"{name} question", language="en") for name in ("Near", "Done", "Far")
    )
    Gap.objects.filter(pk=done.pk).update(status=Gap.Status.ANSWERED)
    for gap in (near, done):
        GapQuestion.objects.create(gap=gap, text="?", source="did_not_help", faq=faqs["loathed"])
    GapQuestion.objects.create(gap=far, text="?", source="below_floor")
    text = browser_of(moderator).get(f"{LIST}{faqs['loathed'].pk}/").content.decode()
    assert "Near question" in text
    assert "Done question" not in text
    assert "Far question" not in text


def test_its_figures_are_a_file_too(faqs: dict[str, FAQ], moderator: User) -> None:
    address = f"{LIST}{faqs['loved'].pk}/?range=7&format=csv"
    figures = browser_of(moderator).get(address).content.decode("utf-8-sig")
    assert {row[0]: row[2] for row in csv.reader(figures.splitlines())}["faq_cited"] == "40"
    uses = list(csv.reader(browser_of(moderator).get(f"{address}&part=uses").content.decode("utf-8-sig").splitlines()))
    assert [row[1:] for row in uses[1:]].count(["10", "30"]) == 1
    assert len(uses) == 8


def test_an_faq_costs_the_same_whatever_it_did(
    faqs: dict[str, FAQ], moderator: User, django_assert_num_queries: Any
) -> None:
    browser = browser_of(moderator)
    for faq in (faqs["loved"], faqs["new"]):
        with django_assert_num_queries(12):
            browser.get(f"{LIST}{faq.pk}/")


# --- who sees these, and what there is not


@pytest.mark.parametrize("page", [LIST, NOWHERE])
def test_staff_alone_see_them(page: str, owner: User, guest: User, admin: User) -> None:
    assert browser_of(admin).get(page).status_code in (200, 404)
    assert browser_of(owner).get(page).status_code == 403
    assert browser_of(guest).get(page).headers["Location"].startswith("/accounts/sign-in/")
    assert browser_of(None).get(page).headers["Location"].startswith("/accounts/sign-in/")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (NOWHERE, 404),
        (f"{LIST}nothing/", 404),
        (f"{LIST}?sort=best", 400),
        (f"{LIST}?from=2026-02-30", 400),
        (f"{LIST}?page=minus", 200),
    ],
)
def test_what_there_is_not_is_said_to_be_so(moderator: User, address: str, status: int) -> None:
    assert browser_of(moderator).get(address).status_code == status


def test_what_replies_cite_is_counted_and_other_pages_lead_here(moderator: User, owner: User) -> None:
    from analytics.tests.talks import replies
    from conversations.tests.factories import make_persona

    faq, persona = make_faq(), make_persona()
    at: datetime = timezone.now() - timedelta(days=1)
    assert persona.published is not None
    replies(persona.published, [owner, moderator], at, up=1, down=1, faq=faq, source="faq", model="")
    rollups.rebuild()
    totals = read_faq(faq.pk, last_days(7, timezone.now().date(), rollups.reporting_zone()))
    assert (totals.cited, totals.direct, totals.helpful, totals.not_helpful) == (2, 2, 1, 1)
    browser = browser_of(moderator)
    assert f'href="{LIST}{faq.pk}/"' in browser.get(f"/admin/faqs/faq/{faq.pk}/change/").content.decode()
    overview = browser.get("/analytics/?range=7").content.decode()
    assert f'href="{LIST}{faq.pk}/?range=7"' in overview
    assert f'href="{LIST}?range=7&amp;sort=never-used"' in overview


# --- few uses


def sheet_of(moderator: User, address: str) -> list[list[str]]:
    answer = browser_of(moderator).get(address)
    return list(csv.reader(answer.content.decode("utf-8-sig").splitlines()))


def test_of_few_uses_no_page_and_no_file_tells_how_many(moderator: User, faqs: dict[str, FAQ]) -> None:
    FAQUsage.objects.all().delete()
    rare = make_faq("Where is the unicorn?")
    used(rare, cited=3, direct=2, up=1)
    listed_page = browser_of(moderator).get(LIST).content.decode()
    cells = re.findall(r"<td[^>]*>(.*?)</td>", listed_page, re.DOTALL)
    assert cells[:4] == ["under 5 people", "–", "–", "–"]
    (_head, row) = sheet_of(moderator, f"{LIST}?format=csv")
    assert row[4:11] == ["under 5 people"] * 5 + ["", ""]
    page = f"{LIST}{rare.pk}/"
    assert {line[2] for line in sheet_of(moderator, f"{page}?format=csv")[1:5]} == {"under 5 people"}
    assert {cell for line in sheet_of(moderator, f"{page}?format=csv&part=uses")[1:] for cell in line[1:]} == {"0", ""}
    (line,) = knowledge_tables(read_asked({}))[0].rows
    assert [cell.text for cell in line.cells] == ["under 5 people", "–", "–"]


def test_what_is_used_seldom_is_told_by_weeks(moderator: User, faqs: dict[str, FAQ]) -> None:
    seldom = sheet_of(moderator, f"{LIST}{faqs['stale'].pk}/?format=csv&part=uses")
    assert len(seldom) - 1 in (5, 6)  # of thirty days
    used(faqs["loved"], 4, cited=200)
    often = sheet_of(moderator, f"{LIST}{faqs['loved'].pk}/?format=csv&part=uses")
    assert len(often) - 1 == 30
