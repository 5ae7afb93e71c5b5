"""Gaps in the admin: who may do what, what the pages show, and that they stay fast and safe."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.factories import agree, make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.ids import uuid7
from faqs import gap_tasks, gaps, services
from faqs.gap_drafts import Writing, draft_from_gap
from faqs.models import FAQ, Gap, GapQuestion
from faqs.tests.factories import make_faq, make_index
from faqs.tests.test_gaps import gap_of

pytestmark = pytest.mark.django_db

LIST = "/admin/faqs/gap/"
BUTTONS = ["draft", "publish", "replay", "dismiss", "reopen"]
PIN = "How can I reset my PIN?"


def url(gap: Gap, page: str = "change") -> str:
    return reverse(f"admin:faqs_gap_{page}", args=[gap.pk])


def signed_in(person: Any) -> Client:
    client = Client()
    if person is not None:
        client.force_login(person)
    return client


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def gap(db: None) -> Gap:
    asker = agree(make_user(username="the-asker", email="asker@example.org"))
    return gap_of(PIN, person=asker)


@pytest.fixture(params=[make_moderator, make_admin], ids=["moderator", "admin"])
def editor(request: pytest.FixtureRequest, db: None) -> Client:
    return signed_in(request.param())


@pytest.fixture
def moderator(db: None) -> Client:
    return signed_in(make_moderator())


# --- Who may what ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", ["owner", "user", "guest", "anonymous"])
def test_outsiders_reach_nothing(gap: Gap, who: str) -> None:
    people: dict[str, Any] = {"user": make_user, "guest": make_guest, "anonymous": lambda: None}
    asker = gap.questions.get().person
    client = signed_in(asker if who == "owner" else people[who]())
    for address in (LIST, url(gap), url(gap, "writing")):
        assert client.get(address).status_code == 302
    for button in BUTTONS:
        assert client.post(url(gap, button), {"reason": "because"}).status_code == 302
    gap.refresh_from_db()
    assert (gap.status, FAQ.objects.count()) == ("open", 0)


def test_editors_see_gaps_and_nobody_adds_edits_or_deletes_them(editor: Client, gap: Gap) -> None:
    assert PIN in editor.get(LIST).content.decode()
    assert PIN in editor.get(url(gap)).content.decode()
    assert editor.get(f"{LIST}add/").status_code == 403
    assert editor.post(url(gap), {"question": "x"}).status_code == 405
    assert editor.post(url(gap, "delete"), {"post": "yes"}).status_code == 403
    assert Gap.objects.get().question == PIN


def test_without_the_permission_to_change_there_is_no_button(
    moderator: Client, gap: Gap, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accounts import roles

    allowed = roles.PERMISSIONS["moderator"] - {"faqs.change_gap"}
    monkeypatch.setattr(roles, "PERMISSIONS", {**roles.PERMISSIONS, "moderator": allowed})
    page = moderator.get(url(gap)).content.decode()
    assert PIN in page
    assert not any(url(gap, button) in page for button in BUTTONS)
    for button in BUTTONS:
        assert moderator.post(url(gap, button), {"reason": "because"}).status_code == 403
    assert Gap.objects.get().status == "open"


def test_who_may_not_publish_cannot_publish_from_here(
    moderator: Client, gap: Gap, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accounts import roles

    allowed = roles.PERMISSIONS["moderator"] - {"faqs.publish_faq"}
    monkeypatch.setattr(roles, "PERMISSIONS", {**roles.PERMISSIONS, "moderator": allowed})
    faq = draft_from_gap(gap=gap, actor=None)
    services.edit_faq(faq=faq, actor=None, answer="Under Cards.")
    assert url(gap, "publish") not in moderator.get(url(gap)).content.decode()
    assert moderator.post(url(gap, "publish")).status_code == 403
    assert FAQ.objects.get().status == "draft"


@pytest.mark.parametrize("page", ["change", "writing", *BUTTONS])
def test_an_absent_gap_is_absent(moderator: Client, page: str) -> None:
    method = moderator.get if page in {"change", "writing"} else moderator.post
    assert method(reverse(f"admin:faqs_gap_{page}", args=[uuid4()]), {"reason": "because"}).status_code == 404
    assert moderator.get(f"{LIST}nonsense/change/").status_code == 404


@pytest.mark.parametrize("button", BUTTONS)
def test_a_link_cannot_press_a_button(gap: Gap, button: str) -> None:
    person = make_moderator()
    assert signed_in(person).get(url(gap, button)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    assert strict.post(url(gap, button), {"reason": "because"}).status_code == 403
    assert Gap.objects.get().status == "open"


# --- The list --------------------------------------------------------------------------------------------------------
def test_the_list_shows_what_needs_somebody_most_asked_first(moderator: Client) -> None:
    for count, (text, status) in enumerate(
        [
            ("Once?", "open"),
            ("Drafted?", "drafted"),
            ("Often?", "open"),
            ("Done?", "answered"),
            ("Rain?", "dismissed"),
        ]
    ):
        Gap.objects.create(question=text, language="en", count=count, status=status)
    shown = lambda **filters: [gap.question for gap in moderator.get(LIST, filters).context["cl"].result_list]  # noqa: E731
    assert shown() == ["Often?", "Drafted?", "Once?"]
    assert shown(status="dismissed") == ["Rain?"]
    assert len(shown(status="any")) == 5
    assert shown(status="<x>") == []


def test_the_list_is_filtered_by_source_and_language_and_searched_in_all_questions(moderator: Client) -> None:
    pin = gap_of(PIN, source="thumbs_down")
    gap_of("How do I reset the PIN")
    german = gap_of("Wie setze ich die PIN zurück?", language="de")
    shown = lambda **filters: list(moderator.get(LIST, filters).context["cl"].result_list)  # noqa: E731
    assert shown(source="thumbs_down") == [pin]
    assert shown(language="de") == [german]
    assert shown(q="reset the PIN") == [pin]
    assert shown(q="zurück") == [german]


def test_the_address_cannot_ask_who_asked(moderator: Client, gap: Gap) -> None:
    answer = moderator.get(LIST, {"questions__person__email": "asker@example.org"})
    assert answer.status_code in {302, 400}


def test_the_list_takes_few_queries_however_many_gaps(moderator: Client, django_assert_max_num_queries: Any) -> None:
    faq = make_faq()
    Gap.objects.bulk_create(
        Gap(question=f"Question {n}?", language="en", count=n, status="drafted", faq=faq) for n in range(60)
    )
    with django_assert_max_num_queries(8):
        page = moderator.get(LIST).content.decode()
    assert "Question 59?" in page


# --- The page --------------------------------------------------------------------------------------------------------
def test_the_page_shows_examples_by_source_and_never_who_asked(
    moderator: Client, gap: Gap, django_assert_max_num_queries: Any
) -> None:
    faq = make_faq("An FAQ that was shown")
    GapQuestion.objects.create(
        gap=gap,
        text="It says <script>alert(1)</script>",
        source="thumbs_down",
        faq=faq,
        person=gap.questions.get().person,
    )
    GapQuestion.objects.bulk_create(
        GapQuestion(gap=gap, text=f"Reset {n}?", source="below_floor", source_id=uuid7(), created_at=timezone.now())
        for n in range(30)
    )
    with django_assert_max_num_queries(14):
        answer = moderator.get(url(gap))
    page = answer.content.decode()
    assert "No good match (31)" in page
    assert "Thumbs down (1)" in page
    assert "and 11 more" in page
    assert "Reset 29?" in page
    assert PIN not in [one.text for one in answer.context["sources"][0]["questions"]]
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "An FAQ that was shown" in page
    assert "the-asker" not in page
    assert "asker@" not in page


def test_a_drafted_answer_is_shown_inert(moderator: Client, gap: Gap) -> None:
    faq = draft_from_gap(gap=gap, actor=None)
    text = "**Bold** <script>alert(1)</script> ![x](//evil.example/p.png) [y](javascript:alert(1))"
    services.edit_faq(faq=faq, actor=None, answer=text, drafted_by="fake/writer")
    page = moderator.get(url(gap)).content.decode()
    assert "<strong>Bold</strong>" in page
    assert "drafted by fake/writer, to be checked" in page
    for danger in ("<script>alert", 'src="//evil', 'href="javascript', "<img"):
        assert danger not in page.partition('class="faq-preview')[2].partition("</section>")[0]


# --- Buttons ---------------------------------------------------------------------------------------------------------
def test_from_the_gap_to_its_answer(editor: Client, gap: Gap) -> None:
    make_faq("Which currencies can I exchange?")
    make_index()
    assert url(gap, "publish") not in editor.get(url(gap)).content.decode()
    answer = editor.post(url(gap, "draft"), follow=True)
    assert messages(answer) == ["An FAQ is begun. It shows to nobody before it is published."]
    page = answer.content.decode()
    assert "Write the answer" in page
    assert url(gap, "draft") not in page
    assert url(gap, "publish") not in page
    faq = FAQ.objects.get(question=PIN)
    refused = editor.post(url(gap, "publish"), follow=True)
    assert "cannot be published" in messages(refused)[0]
    services.edit_faq(faq=faq, actor=None, answer="Under **Cards**.")
    assert url(gap, "publish") in editor.get(url(gap)).content.decode()
    published = editor.post(url(gap, "publish"))
    assert published.status_code == 200
    assert "1 of 1 would be answered now." in published.content.decode()
    gap.refresh_from_db()
    faq.refresh_from_db()
    assert (gap.status, faq.status) == ("answered", "published")


def test_asking_again_shows_what_is_missing(moderator: Client, gap: Gap) -> None:
    make_faq("Which currencies can I exchange?")
    make_index()
    page = moderator.post(url(gap, "replay")).content.decode()
    assert "0 of 1 would be answered now." in page
    assert Gap.objects.get().status == "open"


def test_dismissing_and_reopening(moderator: Client, gap: Gap) -> None:
    assert messages(moderator.post(url(gap, "dismiss"), {"reason": " "}, follow=True)) == ["Say why."]
    done = moderator.post(url(gap, "dismiss"), {"reason": "not <b>ours</b>"}, follow=True)
    assert messages(done) == ["The gap is dismissed."]
    page = done.content.decode()
    assert "not &lt;b&gt;ours" in page
    assert url(gap, "dismiss") not in page
    assert AuditEvent.objects.get(action="gap.dismissed").actor is not None
    assert messages(moderator.post(url(gap, "reopen"), follow=True)) == ["The gap is open again."]
    assert Gap.objects.get().status == "open"


def test_publishing_without_a_draft_says_so(moderator: Client, gap: Gap) -> None:
    assert messages(moderator.post(url(gap, "publish"), follow=True)) == ["There is no draft to publish."]


def test_while_a_model_writes_the_page_waits_and_says_where_it_failed(
    moderator: Client, gap: Gap, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAQ_DRAFT_MODEL = "fake/writer"
    queued: list[Any] = []
    monkeypatch.setattr(gap_tasks.write_answer, "apply_async", lambda arguments, **options: queued.append(arguments))
    page = moderator.post(url(gap, "draft"), follow=True).content.decode()
    faq = FAQ.objects.get()
    assert [arguments[0] for arguments in queued] == [str(faq.pk)]
    assert "A model is drafting the answer" in page
    assert f'data-gap-writing="{url(gap, "writing")}"' in page
    assert moderator.get(url(gap, "writing")).json() == {"writing": True}
    Writing.note(faq, Writing.FAILED)
    assert moderator.get(url(gap, "writing")).json() == {"writing": False}
    assert "The model could not draft an answer." in moderator.get(url(gap)).content.decode()
    services.edit_faq(faq=faq, actor=None, answer="Mine.")
    assert "The model could not" not in moderator.get(url(gap)).content.decode()


def test_a_second_draft_is_refused_in_words(moderator: Client, gap: Gap) -> None:
    moderator.post(url(gap, "draft"), follow=True)
    assert messages(moderator.post(url(gap, "draft"), follow=True)) == [
        "An FAQ has been drafted from this gap already."
    ]
    gaps.reopen_gap(gap=gap, actor=None)
    moderator.post(url(gap, "draft"))
    assert FAQ.objects.count() == 2
