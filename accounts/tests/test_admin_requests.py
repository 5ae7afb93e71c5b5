"""What people asked for by right, in the admin: seen by admins, changed by nobody, told to its person."""

from typing import Any

import pytest
from django.test import Client

from accounts.access_log import looks_at
from accounts.models import AuditEvent, DataRequest, User
from accounts.privacy import erasures, exports
from accounts.retention import holds
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db
PAGE = "/admin/accounts/datarequest/"


def test_admins_see_what_waits_and_why(
    browser: Any, admin: User, owner: User, other: User, django_assert_max_num_queries: Any
) -> None:
    exports.request_export(user=owner)
    erasures.request_erasure(user=other)
    held = make_user(username="held")
    erasures.request_erasure(user=held)
    holds.place(actor=admin, person=held, reason="A court asks for it.")
    page: Client = browser(admin)
    with django_assert_max_num_queries(10):
        answer = page.get(PAGE)
    rows = {row.user.username: row for row in answer.context["cl"].result_list}
    assert {name: row.is_held for name, row in rows.items()} == {
        owner.username: False,
        other.username: False,
        "held": True,
    }
    assert page.get(f"{PAGE}?state__exact=waiting&kind__exact=export").context["cl"].result_count == 1


def test_looking_is_recorded_and_told(browser: Any, admin: User, owner: User) -> None:
    request = exports.request_export(user=owner)
    assert browser(admin).get(f"{PAGE}{request.pk}/change/").status_code == 200
    assert AuditEvent.objects.on(request).filter(action="datarequest.shown").count() == 1
    assert [(look.what, look.who) for look in looks_at(owner)] == [
        ("Looked at what you asked for about your data", admin.username)
    ]


def test_nobody_changes_it_there(browser: Any, admin: User, owner: User) -> None:
    request, page = exports.request_export(user=owner), browser(admin)
    assert page.post(f"{PAGE}{request.pk}/change/", {"state": "used"}).status_code == 403
    assert page.post(f"{PAGE}{request.pk}/delete/", {"post": "yes"}).status_code == 403
    assert page.get(f"{PAGE}add/").status_code == 403
    assert DataRequest.objects.get().state == DataRequest.State.WAITING


def test_others_do_not_see_it(browser: Any, moderator: User, owner: User, client: Client) -> None:
    exports.request_export(user=owner)
    assert browser(moderator).get(PAGE).status_code == 403
    assert browser(owner).get(PAGE).status_code == 302
    assert client.get(PAGE).status_code == 302
