"""The page of a person: one's own for everyone, another's for staff with a reason, for nobody else."""

import csv
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core import signing
from django.utils import timezone

from accounts.access_log import looks_at
from accounts.audit.reading import events_about
from accounts.models import AuditEvent, User
from analytics import rollups
from analytics.metrics import METRICS, values
from analytics.person_access import SALT
from analytics.person_figures import read_person
from analytics.tests.history import make_history
from analytics.tests.talks import replies
from analytics.tests.test_pages_overview import browser_of
from analytics.totals import By, last_days, read_groups, read_totals
from conversations.models import Conversation
from conversations.purging import purge
from conversations.tests.factories import make_persona

pytestmark = pytest.mark.django_db
REASON = "They asked why it is slow."


def address_of(person: User) -> str:
    return f"/analytics/people/{person.pk}/"


@pytest.fixture
def asked(owner: User, other: User) -> None:
    """Four questions of the owner, one of somebody else."""
    persona = make_persona()
    assert persona.published is not None
    now = timezone.now()
    replies(persona.published, [owner] * 3, now - timedelta(days=2), up=1, seconds=2.0)
    replies(persona.published, [owner], now - timedelta(days=1), status="failed")
    replies(persona.published, [other], now - timedelta(days=1))


def refusals(actor: User) -> int:
    return AuditEvent.objects.by(actor).filter(action="figures.refused").count()


# --- one's own


def test_everyone_sees_their_own_and_it_is_not_recorded(asked: None, owner: User) -> None:
    answer = browser_of(owner).get(address_of(owner))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "Your figures" in text
    assert re.search(r"questions</dt>\s*<dd[^>]*>4</dd>", text)
    assert "75.0 %" in text
    assert "Pages of figures" not in text, "the tabs are for staff"
    assert not events_about(owner, actions=["figures.read"], others=False, most=9)


def test_a_guest_has_a_page_too(guest: User) -> None:
    answer = browser_of(guest).get(address_of(guest))
    assert answer.status_code == 200
    assert "Nothing was asked in these days." in answer.content.decode()


def test_one_person_is_never_too_few_for_themselves(asked: None, other: User) -> None:
    rollups.rebuild()
    text = browser_of(other).get(address_of(other)).content.decode()
    assert "under 5 people" not in text
    assert re.search(r"questions</dt>\s*<dd[^>]*>1</dd>", text)


def test_ones_own_is_a_file_too(asked: None, owner: User) -> None:
    browser = browser_of(owner)
    figures = browser.get(f"{address_of(owner)}?format=csv").content.decode("utf-8-sig")
    assert {row[0]: row[2] for row in csv.reader(figures.splitlines())}["questions"] == "4"
    days = list(
        csv.reader(
            browser.get(f"{address_of(owner)}?format=csv&part=questions&range=7")
            .content.decode("utf-8-sig").splitlines()
        )
    )  # fmt: skip
    assert sorted(row[1] for row in days[1:]) == ["0", "0", "0", "0", "0", "1", "3"]
    assert browser.get(f"{address_of(owner)}?format=csv&part=other").status_code == 404


def test_the_profile_leads_to_it(owner: User) -> None:
    assert f'href="{address_of(owner)}"'.encode() in browser_of(owner).get("/accounts/profile/").content


# --- another's


def test_the_administration_leads_to_it(owner: User, moderator: User) -> None:
    page = browser_of(moderator).get(f"/admin/accounts/user/{owner.pk}/change/")
    assert f'href="{address_of(owner)}"' in page.content.decode()


@pytest.mark.parametrize("who", ["moderator", "admin"])
def test_staff_say_why_first(who: str, asked: None, owner: User, request: pytest.FixtureRequest) -> None:
    staff = request.getfixturevalue(who)
    browser = browser_of(staff)
    before = browser.get(address_of(owner)).content.decode()
    assert 'name="reason"' in before
    assert "75.0 %" not in before
    assert looks_at(owner) == []
    opened = browser.post(address_of(owner), {"reason": f"  {REASON} "})
    assert opened.status_code == 200
    assert "75.0 %" in opened.content.decode()
    assert opened.headers["Refresh"].split("; ")[1] == f"url={address_of(owner)}"
    assert "no-store" in opened.headers["Cache-Control"]
    (look,) = looks_at(owner)
    assert (look.who, look.entry.reason) == (staff.username, REASON)


@pytest.mark.parametrize("reason", ["", "curious", "        .        ", "x" * 501])
def test_no_reason_opens_nothing(asked: None, owner: User, moderator: User, reason: str) -> None:
    answer = browser_of(moderator).post(address_of(owner), {"reason": reason})
    assert 'name="reason"' in answer.content.decode()
    assert "75.0 %" not in answer.content.decode()
    assert looks_at(owner) == []


def test_the_reason_opens_other_days_for_a_while_and_each_look_is_recorded(
    asked: None, owner: User, moderator: User
) -> None:
    browser = browser_of(moderator)
    access = access_in(browser.post(address_of(owner), {"reason": REASON}).content.decode())
    again = browser.post(address_of(owner), {"access": access, "range": "7"})
    assert 'value="7" aria-current="true"' in again.content.decode()
    sheet = browser.post(address_of(owner), {"access": access, "format": "csv"})
    assert sheet.headers["Content-Type"].startswith("text/csv")
    assert [look.entry.reason for look in looks_at(owner)] == [REASON] * 3


def test_an_address_alone_opens_nothing(asked: None, owner: User, moderator: User) -> None:
    text = browser_of(moderator).post(address_of(owner), {"reason": REASON}).content.decode()
    assert not re.search(r'href="\?', text), "no link on the page leads to figures"
    csv_of_it = browser_of(moderator).get(f"{address_of(owner)}?format=csv").content.decode()
    assert 'name="reason"' in csv_of_it


def test_access_is_of_one_person_to_one_person_and_ends(
    asked: None, owner: User, other: User, moderator: User, admin: User, settings: Any
) -> None:
    access = access_in(browser_of(moderator).post(address_of(owner), {"reason": REASON}).content.decode())
    given = signing.loads(access, salt=SALT)
    late = signing.dumps({**given, "at": given["at"] - 16 * 60}, salt=SALT)
    for staff, person, token in (
        (moderator, other, access),
        (admin, owner, access),
        (moderator, owner, late),
        (moderator, owner, "made up"),
    ):
        text = browser_of(staff).post(address_of(person), {"access": token}).content.decode()
        assert "Your access to this person&#x27;s figures has ended. Give a reason anew." in text
        assert 'name="reason"' in text
    assert len(looks_at(owner)) == 1
    assert looks_at(other) == []


def test_for_everybody_else_there_is_no_such_person(asked: None, owner: User, other: User, guest: User) -> None:
    for person in (other, guest):
        browser = browser_of(person)
        for answer in (browser.get(address_of(owner)), browser.post(address_of(owner), {"reason": REASON})):
            assert answer.status_code == 404
        told = [
            browser.get(f"/analytics/people/{pk}/", headers={"Accept": "application/json"}).content
            for pk in (owner.pk, uuid4())
        ]
        assert told[0] == told[1]
        assert refusals(person) == 1, "once a minute at most"
    assert looks_at(owner) == []


def test_nobody_signs_in_whoever_is_asked_for(owner: User) -> None:
    for pk in (owner.pk, uuid4()):
        answer = browser_of(None).get(f"/analytics/people/{pk}/")
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/accounts/sign-in/?next=/analytics/people/{pk}/"


def test_staff_without_their_second_factor_see_their_own_alone(owner: User, moderator: User, settings: Any) -> None:
    settings.REQUIRE_STAFF_2FA = True
    browser = browser_of(moderator)
    assert browser.get(address_of(owner)).headers["Location"].startswith("/accounts/second-factor/")
    assert browser.get(address_of(moderator)).status_code == 200
    assert refusals(moderator) == 0


def test_staff_find_nobody_who_is_not_there(moderator: User) -> None:
    assert browser_of(moderator).get(f"/analytics/people/{uuid4()}/").status_code == 404
    assert browser_of(moderator).get("/analytics/people/me/").status_code == 404
    assert browser_of(moderator).get(f"{address_of(moderator)}?range=ever").status_code == 400


def access_in(text: str) -> str:
    found = re.search(r'name="access" value="([^"]+)"', text)
    assert found
    return found[1]


# --- the figures


def test_they_are_those_of_the_rollups_where_there_is_but_one_person(owner: User) -> None:
    """Figures of one person and of an organisation of one are the same, by day and on the whole, removed or not."""
    make_history(5, [owner], [make_persona(), make_persona()], timezone.now() - timedelta(days=10), 8)
    removed = Conversation.objects.order_by("pk").values_list("pk", flat=True)[:7]
    purge(list(removed))
    rollups.rebuild()
    period = last_days(30, timezone.now().date(), rollups.reporting_zone())
    names = tuple(name for name, metric in METRICS.items() if not metric.whole and "cost" not in name)
    names = tuple(name for name in names if name not in ("saved", "tokens_without_price"))
    for grain in (By.DAY, By.WEEK):
        whole, groups = read_person(owner, period, grain)
        assert values(whole, names) == values(read_totals(period), names)
        counted = read_groups(period, grain)
        assert groups.keys() == counted.keys()
        assert all(values(groups[key], names) == values(counted[key], names) for key in counted)


def test_a_page_takes_few_queries(asked: None, owner: User, django_assert_num_queries: Any) -> None:
    browser = browser_of(owner)
    with django_assert_num_queries(8):  # session, person, three for these days, three for those before
        browser.get(address_of(owner))
