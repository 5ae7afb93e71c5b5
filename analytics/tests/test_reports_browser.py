"""Reports in a real browser: their page in the admin on a desk and on a telephone, in both themes, and the page that
ends a subscription."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.mail import EmailMultiAlternatives
from playwright.sync_api import expect

from accounts.tests.factories import make_admin, make_moderator
from analytics.models import Report, Subscription
from analytics.reports.letter import build_mail
from analytics.reports.subscribing import unsubscribe_link
from analytics.tests.test_report_files import make_report
from faqs.tests.browser import PHONE, WIDE, OpenPage, needs_browser, overflow, session_of, violations

pytestmark = needs_browser

#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")


@pytest.fixture
def report(transactional_db: None) -> Report:
    return make_report()


def picture(page: object, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_its_page_fits_and_reads_in_both_themes(report: Report, open_page: OpenPage) -> None:
    session = session_of(make_admin())
    Subscription.objects.create(user=make_moderator())
    for size in (WIDE, PHONE):
        for scheme in ("light", "dark"):
            page = open_page(
                f"/admin/analytics/report/{report.pk}/change/", session=session, viewport=size, color_scheme=scheme
            )
            expect(page.get_by_role("button", name="Mail again")).to_be_visible()
            picture(page, f"report-{size['width']}-{scheme}")
            assert overflow(page) <= 0
            page.goto(page.url.replace(f"{report.pk}/change/", ""))
            picture(page, f"reports-{size['width']}-{scheme}")
            page.goto(page.url.replace("report/", "subscription/"))
            picture(page, f"subscriptions-{size['width']}-{scheme}")
            page.goto(f"{page.url}add/")
            picture(page, f"subscription-{size['width']}-{scheme}")


def test_a_mail_reads_and_its_link_ends_the_subscription(report: Report, open_page: OpenPage) -> None:
    subscription = Subscription.objects.create(user=make_moderator(), pdf=False, csv=False)
    mail = build_mail(report, subscription, "x@example.org")
    assert isinstance(mail, EmailMultiAlternatives)
    page = open_page(urlsplit(unsubscribe_link(subscription)).path, viewport=PHONE)
    assert violations(page) == []
    assert overflow(page) <= 0
    picture(page, "unsubscribe")
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", name="You get no more reports")).to_be_visible()
    assert violations(page) == []
    page.set_content(mail.alternatives[0][0])
    assert page.get_by_role("table").count() == 2
    picture(page, "mail")
