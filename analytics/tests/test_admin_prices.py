"""Admins keep the price list; nobody else sees it."""

from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from analytics.models import Price

pytestmark = pytest.mark.django_db

LIST = reverse("admin:analytics_price_changelist")
ADD = reverse("admin:analytics_price_add")
FORM = {"model": "acme/big", "valid_from": "2026-01-01", "prompt": "2.5", "completion": "10"}


def signed_in(client: Client, person) -> Client:
    client.force_login(person)
    return client


def test_an_admin_adds_and_removes_a_price_which_is_recorded(client: Client, admin) -> None:
    browser = signed_in(client, admin)
    assert browser.post(ADD, FORM).status_code == 302
    price = Price.objects.get()
    assert (price.model, price.valid_from, float(price.prompt)) == ("acme/big", date(2026, 1, 1), 2.5)
    assert "acme/big" in browser.get(LIST).content.decode()
    browser.post(reverse("admin:analytics_price_delete", args=[price.pk]), {"post": "yes"})
    assert not Price.objects.exists()
    assert set(AuditEvent.objects.filter(action__startswith="price.").values_list("action", flat=True)) == {
        "price.added", "price.removed",
    }  # fmt: skip


@pytest.mark.parametrize("form", [{"prompt": "-1"}, {"prompt": "NaN"}, {"valid_from": "soon"}, {"model": ""}])
def test_what_is_no_price_is_refused(client: Client, admin, form: dict) -> None:
    assert signed_in(client, admin).post(ADD, {**FORM, **form}).status_code == 200
    assert not Price.objects.exists()


def test_nobody_else_sees_it(client: Client, moderator, owner) -> None:
    assert client.get(LIST).status_code == 302
    for person in (moderator, owner):
        assert signed_in(Client(), person).get(LIST).status_code in {302, 403}
