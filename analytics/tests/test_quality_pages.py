"""The pages of the quality review: who gets them, and judging a reply without any script."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_moderator, make_user
from analytics.demo import seeding
from analytics.quality.models import QualityItem, QualityOpinion, QualityReview
from analytics.tests.replies import answers, judged, make_item, make_reply
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db

PAGE = "/analytics/quality/"
TAKE = f"{PAGE}take/"


def browser_of(person: User | None) -> Client:
    browser = Client(headers={"Accept": "text/html"})
    if person:
        browser.force_login(person)
    return browser


@pytest.fixture
def item(owner: User) -> QualityItem:
    text = "Write to bob@example.org, **today**. <script>alert(1)</script>"
    return make_item(make_reply(owner, make_persona(), timezone.now(), "When <b>?", text=text))


def begin(browser: Client) -> str:
    """The address of the turn that the person gets."""
    answer = browser.post(TAKE)
    assert answer.status_code == 302
    return str(answer.headers["Location"])


def test_a_reply_is_judged_without_a_script(item: QualityItem, owner: User, moderator: User) -> None:
    browser = browser_of(moderator)
    assert "One reply waits" in browser.get(PAGE).content.decode()
    page = begin(browser)
    shown = browser.get(page).content.decode()
    assert "Write to [E-MAIL 1], <strong>today</strong>. &lt;script&gt;" in shown
    assert "When &lt;b&gt;?" in shown
    assert owner.username not in shown
    assert "bob@" not in shown
    assert "Go on judging" in browser.get(PAGE).content.decode()
    missing = browser.post(page, {"correct": "yes"})
    assert missing.status_code == 400
    assert "Say something of every criterion." in missing.content.decode()
    saved = browser.post(page, answers("partly") | {"comment": "Not on Mondays.", "next": "1"})
    assert saved.headers["Location"] == PAGE
    review = QualityReview.objects.get()
    assert (review.correct, review.safe, review.comment.text) == ("partly", "yes", "Not on Mondays.")
    assert "There is nothing left for you to judge." in browser.get(PAGE).content.decode()
    assert AuditEvent.objects.filter(action="quality.opened").count() == 2


def test_what_others_and_the_model_said_is_shown_once_it_is_settled(item: QualityItem, moderator: User) -> None:
    browser = browser_of(moderator)
    page = begin(browser)
    fields = answers() | {"correct": "no"}
    browser.post(page, fields)
    QualityOpinion.objects.create(item=item, model="acme/judge", prompt_version=1, **answers("partly"))
    before = browser.get(page).content.decode()
    assert "once it is settled" in before
    assert "acme/judge" not in before
    judged(make_moderator(), "no")
    after = browser.get(page).content.decode()
    assert "Reviewer 1" in after
    assert "Model's opinion" in after
    assert "acme/judge" in after
    assert "today" not in after  # the text is not opened again
    assert "A model's opinion counts neither" in after


def test_a_turn_can_be_left_to_others(item: QualityItem, moderator: User) -> None:
    browser = browser_of(moderator)
    page = begin(browser)
    browser.post(f"{page}give-back/")
    assert not QualityReview.objects.exists()
    assert browser.get(page).status_code == 404


def test_others_are_refused(item: QualityItem, moderator: User, owner: User, other: User, guest: User) -> None:
    page = begin(browser_of(moderator))
    for person in (owner, other, guest, None):
        browser = browser_of(person)
        is_known = person is not None and not person.is_guest
        for path in (PAGE, page):
            assert browser.get(path).status_code == (403 if is_known else 302)
        for path in (TAKE, page, f"{page}give-back/"):
            assert browser.post(path, answers()).status_code == (403 if is_known else 302)
    assert not QualityReview.objects.exclude(done_at=None).exists()


def test_another_reviewers_turn_is_not_there(item: QualityItem, moderator: User, admin: User) -> None:
    page = begin(browser_of(moderator))
    assert browser_of(admin).get(page).status_code == 404
    assert browser_of(admin).post(page, answers()).status_code == 404
    browser_of(admin).post(f"{page}give-back/")
    assert QualityReview.objects.count() == 1


def test_a_reviewer_who_owns_the_reply_gets_nothing(moderator: User) -> None:
    make_item(make_reply(moderator, make_persona(), timezone.now()))
    assert begin(browser_of(moderator)) == PAGE


def test_a_reviewer_whose_own_processing_is_paused_judges_nothing(item: QualityItem, moderator: User) -> None:
    User.objects.filter(pk=moderator.pk).update(restricted_at=timezone.now())
    assert browser_of(moderator).post(TAKE).status_code == 403
    assert not QualityReview.objects.exists()


@pytest.fixture
def settled(item: QualityItem) -> QualityItem:
    judged(make_moderator(), "yes")
    judged(make_moderator(), "yes")
    return item


def test_results_say_how_sure_they_are(settled: QualityItem, moderator: User) -> None:
    text = browser_of(moderator).get(PAGE).content.decode()
    for part in (
        "Accuracy",
        "100.0 %",
        "with 95 percent certainty: 20.7",
        "Too few replies were judged",
        "too few: under 30",
    ):
        assert part in text, part


def test_where_no_replies_are_drawn_the_page_says_how_to_have_them_drawn(moderator: User, settings: Any) -> None:
    assert "QUALITY_RANDOM" in browser_of(moderator).get(PAGE).content.decode()
    settings.QUALITY_DISLIKED = 5
    assert "QUALITY_RANDOM" not in browser_of(moderator).get(PAGE).content.decode()


def test_results_of_few_people_are_not_told_where_they_are_narrowed(settled: QualityItem, moderator: User) -> None:
    text = browser_of(moderator).get(f"{PAGE}?persona={settled.persona}").content.decode()
    assert "Accuracy" not in text


@pytest.mark.parametrize("part", ["quality-strata", "quality-agreement", "quality-personas", "quality-versions"])
def test_each_table_is_there_as_a_file(part: str, settled: QualityItem, moderator: User) -> None:
    answer = browser_of(moderator).get(f"{PAGE}?format=csv&part={part}")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert len(answer.content.decode().splitlines()) >= 2
    assert browser_of(moderator).get(f"{PAGE}?format=csv&part=nothing").status_code == 404


def test_with_demo_people_their_judged_replies_go(item: QualityItem) -> None:
    demo = make_user("ada@demo.invalid", username="ada.demo")
    make_item(make_reply(demo, make_persona(), timezone.now()), state="settled", verdict="yes")
    seeding.remove()
    assert list(QualityItem.objects.all()) == [item]


def test_pages_have_no_script_or_style_of_their_own(item: QualityItem, moderator: User) -> None:
    browser = browser_of(moderator)
    for path in (PAGE, begin(browser)):
        text: Any = browser.get(path).content.decode()
        assert " style=" not in text
        assert "<style" not in text
