"""Reports and subscriptions in the admin: who reads, who fetches, who has it mailed again, who says who gets them."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_user
from analytics.models import Delivery, Report, Subscription
from analytics.tests.test_report_files import make_report

pytestmark = pytest.mark.django_db


@pytest.fixture
def report(db: None) -> Report:
    return make_report()


def as_person(person: User | None) -> Client:
    client = Client()
    if person:
        client.force_login(person)
    return client


def statuses(path: str, *people: User | None) -> list[int]:
    return [as_person(person).get(path).status_code for person in people]


def test_staff_read_reports_and_fetch_them_and_nobody_else(report: Report, admin, moderator, owner) -> None:
    page = reverse("admin:analytics_report_change", args=[report.pk])
    assert statuses(page, None, owner, moderator, admin) == [302, 302, 200, 200]
    for format, kind in (("pdf", "application/pdf"), ("csv", "text/csv; charset=utf-8"), ("json", "application/json")):
        path = reverse("admin:analytics_report_file", args=[report.pk, format])
        assert statuses(path, None, owner, moderator) == [302, 302, 200]
        answer = as_person(admin).get(path)
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["Content-Disposition"] == f'attachment; filename="report-week-2026-03-23.{format}"'
        assert "no-store" in answer.headers["Cache-Control"]
    for path in (
        reverse("admin:analytics_report_file", args=[report.pk, "xls"]),
        reverse("admin:analytics_report_file", args=[report.pk + 1, "csv"]),
    ):
        assert statuses(path, moderator, admin) == [404, 404]


def test_its_page_shows_all_of_it_as_text(admin: User) -> None:
    report = make_report(names=["图书馆"])
    content = as_person(admin).get(reverse("admin:analytics_report_change", args=[report.pk])).content.decode()
    for text in ("active people a day", "-1.50 EUR", "图书馆", "&lt; 5"):
        assert text in content
    listed = as_person(admin).get(reverse("admin:analytics_report_changelist")).content.decode()
    assert "The week from March 23, 2026 to March 29, 2026" in listed
    assert reverse("admin:analytics_report_file", args=[report.pk, "pdf"]) in listed


def test_nobody_changes_or_removes_a_report(report: Report, admin: User) -> None:
    page = reverse("admin:analytics_report_change", args=[report.pk])
    assert as_person(admin).post(page, {"time_zone": "UTC"}).status_code == 403
    assert as_person(admin).post(reverse("admin:analytics_report_delete", args=[report.pk])).status_code == 403


def test_admins_have_it_mailed_again_and_that_is_recorded(report: Report, admin, moderator, owner) -> None:
    subscription = Subscription.objects.create(user=moderator, created_at=timezone.now())
    Delivery.objects.create(subscription=subscription, report=report, state="sent")
    path = reverse("admin:analytics_report_again", args=[report.pk])
    for person, status in ((None, 302), (owner, 302), (moderator, 404)):
        assert as_person(person).post(path).status_code == status
    assert as_person(admin).get(path).status_code == 405
    assert Delivery.objects.get().state == "sent"
    assert as_person(admin).post(path).status_code == 302
    assert Delivery.objects.get().state == "waiting"
    event = AuditEvent.objects.get(action="report.mailed_again")
    assert event.details == {"mails": 1}
    assert (
        reverse("admin:analytics_report_again", args=[report.pk])
        not in as_person(moderator).get(reverse("admin:analytics_report_change", args=[report.pk])).content.decode()
    )


# --- Subscriptions ----------------------------------------------------------------------------------------------------
def fields(**changes: Any) -> dict[str, Any]:
    return {"user": "", "address": "", "grain": "week", "persona": "", "pdf": "on", "language": "de"} | changes


def test_admins_say_who_gets_reports_and_nobody_else(admin, moderator, owner) -> None:
    path = reverse("admin:analytics_subscription_add")
    for person, status in ((None, 302), (owner, 302), (moderator, 403)):
        assert as_person(person).post(path, fields(user=moderator.pk, is_active="on")).status_code == status
    assert not Subscription.objects.exists()
    assert as_person(admin).post(path, fields(user=moderator.pk, is_active="on")).status_code == 302
    subscription = Subscription.objects.get()
    assert (subscription.user, subscription.pdf, subscription.csv, subscription.language) == (
        moderator, True, False, "de",
    )  # fmt: skip
    event = AuditEvent.objects.get(action="subscription.added")
    assert event.details == {"grain": "week", "persona": "", "active": True, "to": "account"}


def test_an_address_is_kept_in_one_form_and_not_in_the_trail(admin: User) -> None:
    as_person(admin).post(reverse("admin:analytics_subscription_add"), fields(address=" Board@Example.org"))
    assert Subscription.objects.get().address == "board@example.org"
    assert "board" not in f"{AuditEvent.objects.get(action='subscription.added').details}".lower()


def test_who_may_not_see_figures_cannot_be_chosen_by_account_or_address(admin: User, owner: User) -> None:
    path = reverse("admin:analytics_subscription_add")
    for wished in (fields(user=owner.pk), fields(address=owner.email)):
        answer = as_person(admin).post(path, wished)
        assert answer.status_code == 200
        assert "may not see figures" in answer.content.decode()
    assert not Subscription.objects.exists()


def test_neither_and_both_and_the_same_again_are_refused_in_words(admin: User, moderator: User) -> None:
    Subscription.objects.create(user=moderator)
    path = reverse("admin:analytics_subscription_add")
    for wished, said in (
        (fields(), "Choose an account, or give an address."),
        (fields(user=moderator.pk, address="board@example.org"), "Choose an account, or give an address."),
        (fields(user=moderator.pk), "There is such a subscription already."),
    ):
        answer = as_person(admin).post(path, wished)
        assert answer.status_code == 200
        assert said in answer.content.decode()


def test_one_of_the_settings_is_shown_and_changed_there_alone(admin: User) -> None:
    subscription = Subscription.objects.create(address="head@example.org", from_settings=True)
    page = reverse("admin:analytics_subscription_change", args=[subscription.pk])
    assert as_person(admin).get(page).status_code == 200
    assert as_person(admin).post(page, fields(address="x@example.org")).status_code == 403
    assert (
        as_person(admin).post(reverse("admin:analytics_subscription_delete", args=[subscription.pk])).status_code == 403
    )


def test_removing_one_is_recorded(admin: User) -> None:
    subscription = Subscription.objects.create(user=admin)
    as_person(admin).post(reverse("admin:analytics_subscription_delete", args=[subscription.pk]), {"post": "yes"})
    assert not Subscription.objects.exists()
    assert AuditEvent.objects.filter(action="subscription.removed").exists()


def test_the_list_asks_the_same_number_of_queries_however_long_it_is(
    admin: User, django_assert_max_num_queries: Any
) -> None:
    browser, path = as_person(admin), reverse("admin:analytics_subscription_changelist")
    report = make_report()
    for _number in range(6):
        subscription = Subscription.objects.create(user=make_user(role="moderator"))
        Delivery.objects.create(subscription=subscription, report=report)
    with django_assert_max_num_queries(14):
        browser.get(path)
