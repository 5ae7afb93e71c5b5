"""Breaking the glass, and seeing that somebody did, in a real browser: by keyboard, narrow, in both themes."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from accounts.models import User
from accounts.services import record_audit
from accounts.tests.factories import make_admin, make_moderator
from conversations.moderation import open_text
from personas.models import Persona

from .browser import OpenTab, Tab, apart, overflow, violations
from .factories import make_exchange

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOG = "/accounts/access-log/"
REASON = "A report of abuse, ticket 12"
#: Set to a directory, the pages are kept there as pictures to look at.
PICTURES = os.environ.get("NONO_PICTURES", "")


def picture(tab: Tab, name: str) -> None:
    if PICTURES:
        tab.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_a_moderator_gives_a_reason_and_the_owner_reads_it(open_tab: OpenTab, owner: User, persona: Persona) -> None:
    made = apart(lambda: make_exchange(owner, "Is this private?", "Yes.").conversation)
    moderator = apart(make_moderator)
    staff = open_tab(moderator, f"/admin/conversations/conversation/{made.pk}/read/")
    picture(staff, "read-reason")
    staff.page.get_by_label("Reason").fill(REASON)
    staff.page.get_by_role("button", name="Record the reason and show the text").press("Enter")
    expect(staff.page.get_by_text("Is this private?").first).to_be_visible()
    expect(staff.page.get_by_text("Open to you until")).to_be_visible()
    picture(staff, "read-text")
    mine = open_tab(owner, "/accounts/profile/")
    mine.page.get_by_role("link", name="Who looked at your data").press("Enter")
    expect(mine.page.get_by_text(REASON)).to_be_visible()
    expect(mine.page.get_by_text(f"{moderator.username} · Moderator")).to_be_visible()
    mine.page.get_by_role("link", name="The conversation").press("Enter")
    expect(mine.page.get_by_text("Is this private?").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_owners_page_fits_and_reads_in_both_themes(
    open_tab: OpenTab, owner: User, persona: Persona, scheme: str, width: int
) -> None:
    def look() -> None:
        moderator, made = make_moderator(), make_exchange(owner).conversation
        open_text(actor=moderator, conversation_id=made.pk, reason=f"{REASON} {'x' * 100}")
        record_audit(actor=moderator, action="user.shown", obj=owner, details={"role": "moderator"})

    apart(look)
    tab = open_tab(owner, LOG, viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(tab.page.get_by_role("listitem").filter(has_text="Read a conversation of yours")).to_be_visible()
    picture(tab, f"access-log-{width}-{scheme}")
    assert overflow(tab) == 0
    assert violations(tab) == []


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1280, "light")])
def test_an_admin_filters_the_trail(open_tab: OpenTab, owner: User, width: int, scheme: str) -> None:
    admin = apart(make_admin)
    apart(lambda: record_audit(actor=admin, action="test.shown", obj=owner, reason=REASON))
    apart(lambda: record_audit(actor=owner, action="test.hidden", obj=owner))
    size = {"width": width, "height": 900}
    tab = open_tab(admin, f"/admin/accounts/auditevent/?by={admin.username}", viewport=size, color_scheme=scheme)
    rows = tab.page.locator("tbody")
    expect(rows.filter(has_text="test.shown")).to_have_count(1)
    expect(rows.filter(has_text="test.hidden")).to_have_count(0)
    picture(tab, f"trail-{width}-{scheme}")
    tab.page.get_by_role("link", name="Filters").or_(tab.page.get_by_text("Filters")).first.click()
    picture(tab, f"trail-filters-{width}-{scheme}")
