"""The page of a persona: who sees it, two versions side by side, and what is said of their difference."""

import csv
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.comparison import COMPARED, Verdict, compare
from analytics.suppression import SUPPRESSED
from analytics.tests.talks import replies
from analytics.tests.test_pages_overview import browser_of
from analytics.totals import EVERYTHING, By, Filters, Totals, last_days, read_groups, read_totals
from personas.models import Persona, PersonaVersion
from personas.tests.factories import make_persona, republish

pytestmark = pytest.mark.django_db
PAGE = "/analytics/personas/desk/"


@pytest.fixture
def people(db: None) -> list[User]:
    return [make_user() for _number in range(40)]


@pytest.fixture
def versions(people: list[User]) -> tuple[PersonaVersion, PersonaVersion]:
    """Two weeks ago, of 40 replies of the first version 20 were completed; last week, all 40 of the second one."""
    persona = make_persona(slug="desk", name="Desk")
    first = persona.published
    assert first is not None
    second = republish(persona, description="Better.")
    now = timezone.now()
    replies(first, people[:20], now - timedelta(days=12), up=3, down=2)
    replies(first, people[20:], now - timedelta(days=12), status="failed", source=None)
    replies(second, people, now - timedelta(days=4), up=9, down=3, seconds=0.5)
    published(first, now - timedelta(days=20))
    published(second, now - timedelta(days=8))
    rollups.rebuild()
    return first, second


def published(version: PersonaVersion, at: datetime) -> None:
    """Versions are guarded by a trigger: nobody changes what is published, but here the clock."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE personas_personaversion SET published_at = %s WHERE id = %s", [at, version.pk])
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


def page_of(user: User, query: str = "") -> str:
    answer = browser_of(user).get(PAGE + query)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


def sheet_of(user: User, query: str) -> dict[str, list[str]]:
    """The lines of a CSV by their first cell."""
    answer = browser_of(user).get(f"{PAGE}?format=csv&{query}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/csv")
    return {row[0]: row[1:] for row in csv.reader(answer.content.decode("utf-8-sig").splitlines())}


# --- who sees it


@pytest.mark.parametrize("who", ["moderator", "admin"])
def test_staff_see_it(who: str, versions: Any, request: pytest.FixtureRequest) -> None:
    text = page_of(request.getfixturevalue(who))
    assert "Two versions side by side" in text
    assert "<style" not in text
    assert " style=" not in text


def test_others_do_not(versions: Any, owner: User, guest: User) -> None:
    assert browser_of(owner).get(PAGE).status_code == 403
    assert browser_of(guest).get(PAGE).headers["Location"].startswith("/accounts/sign-in/")
    assert browser_of(None).get(PAGE).headers["Location"].startswith("/accounts/sign-in/")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/analytics/personas/nobody/", 404),
        (f"{PAGE}?old=9", 400),
        (f"{PAGE}?new=draft", 400),
        (f"{PAGE}?old=1%00", 400),
        (f"{PAGE}?range=ever", 400),
        (f"{PAGE}?format=csv&part=nothing", 404),
        (f"{PAGE}?old=2&new=2", 200),
    ],
)
def test_what_there_is_not_is_said_to_be_so(versions: Any, moderator: User, address: str, status: int) -> None:
    assert browser_of(moderator).get(address).status_code == status


# --- two versions


def test_the_version_in_force_stands_beside_the_one_before_it(versions: Any, moderator: User) -> None:
    lines = sheet_of(moderator, "part=versions")
    assert lines["name"][1:2] == ["v1"]
    _label, *first = lines["completed_rate"]
    assert [float(cell) for cell in first[:4]] == pytest.approx([0.5, 0.3520, 0.6480, 40], abs=1e-4)
    assert [float(cell) for cell in first[4:8]] == pytest.approx([1.0, 0.9124, 1.0, 40], abs=1e-4)
    assert first[8] == "better"
    _label, *thumbs = lines["satisfaction"]
    assert [float(cell) for cell in (thumbs[0], thumbs[4])] == [0.6, 0.75]
    assert (thumbs[3], thumbs[7], thumbs[8]) == ("5", "12", "too few to tell")
    assert (lines["replies"][1], lines["replies"][5]) == ("40", "40")
    assert lines["unknown_rate"][9] == "not told apart"
    assert lines["first_token_p50"][9] == "", "what is no share is not judged"


def test_any_two_can_be_chosen_and_stay_so_when_other_days_are(versions: Any, moderator: User) -> None:
    text = page_of(moderator, "?old=2&new=1&range=90")
    assert "old=2" in text
    assert "range=7&amp;old=2&amp;new=1" in text
    lines = sheet_of(moderator, "part=versions&old=2&new=1")
    assert lines["completed_rate"][9] == "worse"


def test_a_version_without_replies_is_said_to_have_none(versions: Any, moderator: User) -> None:
    text = page_of(moderator, "?range=7")
    assert "v1 gave no reply in these days." in text
    assert "v2 gave no reply" not in text


def test_the_moments_of_publishing_are_marked(versions: Any, moderator: User) -> None:
    text = page_of(moderator, "?range=30")
    assert text.count('class="moment"') >= 4
    assert "v2: published on" in text
    assert 'class="moment"' not in page_of(moderator, "?range=7"), "it lies before these days"


def test_the_diff_of_the_versions_is_linked(versions: Any, moderator: User) -> None:
    persona = Persona.objects.get(slug="desk")
    assert f"/admin/personas/persona/{persona.pk}/versions/?old=1&amp;new=2" in page_of(moderator)


def test_the_administration_leads_to_it(versions: Any, moderator: User) -> None:
    persona = Persona.objects.get(slug="desk")
    page = browser_of(moderator).get(f"/admin/personas/persona/{persona.pk}/change/")
    assert f'href="{PAGE}"' in page.content.decode()


def test_a_persona_with_one_version_has_nothing_to_compare(moderator: User) -> None:
    make_persona(slug="desk")
    assert "There is but one published version." in page_of(moderator)


def test_versions_of_few_people_are_not_shown(versions: Any, moderator: User, people: list[User]) -> None:
    third = republish(Persona.objects.get(slug="desk"), description="Best.")
    replies(third, people[:2], timezone.now() - timedelta(days=1))
    rollups.rebuild()
    text = page_of(moderator)
    assert "v3 was talked with by too few people in these days for its figures to be shown." in text
    assert sheet_of(moderator, "part=versions")["completed_rate"][5] == "under 5 people"


def test_figures_are_those_of_the_rollups(versions: Any, moderator: User) -> None:
    """Whatever the page shows of a version is what the readers sum up of it."""
    first, second = versions
    period = last_days(30, timezone.now().date(), rollups.reporting_zone())
    groups = read_groups(period, By.VERSION, Filters(persona=first.persona_id))
    compared = {each.metric.name: each for each in compare(groups[first.pk], groups[second.pk], EVERYTHING)}
    assert tuple(compared) == COMPARED
    assert (compared["questions"].old.value, compared["questions"].new.value) == (40, 40)
    assert compared["first_token_p50"].new.value == pytest.approx(0.5, rel=0.02)
    whole = read_totals(period, Filters(persona=first.persona_id))
    assert whole.questions == 80


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((50, 100), (80, 100), Verdict.BETTER),
        ((80, 100), (50, 100), Verdict.WORSE),
        ((50, 100), (60, 100), Verdict.NOT_TOLD_APART),
        ((0, 9), (100, 100), Verdict.TOO_FEW),
        ((0, 0), (100, 100), Verdict.NONE),
    ],
)
def test_a_difference_is_said_to_be_one_only_where_intervals_do_not_meet(
    old: tuple[int, int], new: tuple[int, int], verdict: Verdict
) -> None:
    def totals(completed: int, of: int) -> Totals:
        return Totals({**Totals().counts, "completed": completed, "failed": of - completed})

    (compared,) = compare(totals(*old), totals(*new), EVERYTHING, ["completed_rate"])
    assert compared.verdict == verdict
    (failed,) = compare(totals(*old), totals(*new), EVERYTHING, ["failed_rate"])
    assert failed.verdict == verdict, "less is better: the same is said of it"
    (hidden,) = compare(SUPPRESSED, totals(*new), EVERYTHING, ["completed_rate"])
    assert hidden.verdict == Verdict.NONE


def test_it_asks_as_much_for_many_versions_as_for_two(
    versions: Any, moderator: User, people: list[User], django_assert_max_num_queries: Any
) -> None:
    browser = browser_of(moderator)
    browser.get(PAGE)
    rollups.rebuild()  # nothing is kept of what was shown before
    with django_assert_max_num_queries(95) as two:
        browser.get(PAGE)
    with django_assert_max_num_queries(60):
        browser.get(PAGE)
    persona = Persona.objects.get(slug="desk")
    for number in range(5):
        version = republish(persona, description=f"Number {number}.")
        replies(version, people[:10], timezone.now() - timedelta(days=1))
    rollups.rebuild()
    with django_assert_max_num_queries(len(two.captured_queries)):
        browser.get(PAGE)
