"""Staff see that people talk, not what they say: text opens with a reason, for one answer, and is recorded first."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.apps import apps
from django.test import Client
from django.utils.functional import Promise

from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.errors import ApplicationError
from conversations import keeping, moderation, services
from conversations.admin import ConversationAdmin
from conversations.models import Conversation, Feedback, Message
from conversations.safety.models import ModerationItem
from personas.models import Persona

from .factories import ask, end, make_conversation, make_exchange

pytestmark = pytest.mark.django_db

LIST = "/admin/conversations/conversation/"
QUESTION, ANSWER, TITLE, SUMMARY, COMMENT = "quokka-question", "quokka-answer", "quokka-title", "quokka-sum", "quokka-c"
REASON = "A report of abuse, ticket 12"


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator()


@pytest.fixture
def conversation(owner: User, persona: Persona) -> Conversation:
    made = make_exchange(owner, QUESTION, ANSWER).conversation
    keeping.change_conversation(user=owner, conversation_id=made.pk, title=TITLE)
    Conversation.objects.filter(pk=made.pk).update(summary=SUMMARY)
    reply = Message.objects.replies().get(conversation=made)
    services.give_feedback(user=owner, message_id=reply.pk, value=-1, comment=COMMENT)
    made.refresh_from_db()
    return made


def browser(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def page(conversation: Conversation, name: str) -> str:
    return f"{LIST}{conversation.pk}/{name}/"


def text(response) -> str:
    return response.content.decode()


def test_only_staff_see_conversations(owner: User, other: User, moderator: User, conversation: Conversation) -> None:
    pages = [
        LIST, page(conversation, "change"), page(conversation, "read"), page(conversation, "history"),
        "/admin/conversations/feedback/",
    ]  # fmt: skip
    for person in (None, owner, other, make_guest(), make_user(is_active=False, role="moderator")):
        view = browser(person)
        assert [view.get(url).status_code for url in pages] == [302] * 5
        answer = view.post(page(conversation, "read"), {"reason": REASON})
        assert answer.status_code == 302
        assert QUESTION not in text(answer)
    for person in (moderator, make_admin()):
        view = browser(person)
        assert [view.get(url).status_code for url in pages] == [200] * 5
    assert not AuditEvent.objects.filter(action="conversation.read").exists()


def test_text_stands_on_no_page_before_a_reason(moderator: User, conversation: Conversation) -> None:
    view = browser(moderator)
    for url in (
        LIST,
        f"{LIST}?q={conversation.pk}",
        f"{LIST}?q={conversation.owner.email}",
        f"{LIST}?state=trouble",
        page(conversation, "change"),
        page(conversation, "history"),
        page(conversation, "read"),
    ):
        source = text(view.get(url))
        assert "quokka" not in source, url


@pytest.mark.parametrize("term", [QUESTION, ANSWER, TITLE, SUMMARY, "quokka"])
def test_text_is_not_searched(moderator: User, conversation: Conversation, term: str) -> None:
    assert str(conversation.pk) not in text(browser(moderator).get(LIST, {"q": term}))


@pytest.mark.parametrize("lookup", ["title__startswith", "summary__contains", "messages__text__contains"])
def test_a_made_up_filter_does_not_ask_what_a_hidden_column_holds(
    moderator: User, conversation: Conversation, lookup: str
) -> None:
    answer = browser(moderator).get(LIST, {lookup: "q"})
    assert answer.status_code in (302, 400)
    assert str(conversation.pk) not in text(answer)


def test_a_conversation_is_found_by_id_and_by_its_owner(
    moderator: User, owner: User, conversation: Conversation
) -> None:
    elsewhere = make_conversation(make_user())
    for term in (str(conversation.pk), conversation.pk.hex, owner.email, owner.username):
        found = text(browser(moderator).get(LIST, {"q": term}))
        assert str(conversation.pk) in found, term
        assert str(elsewhere.pk) not in found, term


def test_filters_and_counts(moderator: User, owner: User, persona: Persona, conversation: Conversation) -> None:
    broken = ask(owner).conversation
    end(Message.objects.replies().get(conversation=broken), "", "failed")
    hidden = make_conversation(owner)
    keeping.delete_conversation(user=owner, conversation_id=hidden.pk)
    archived = make_conversation(owner)
    keeping.change_conversation(user=owner, conversation_id=archived.pk, archived=True)
    view = browser(moderator)
    all_of_them = {"disliked": conversation, "trouble": broken, "deleted": hidden, "archived": archived}
    for state, expected in all_of_them.items():
        found = text(view.get(LIST, {"state": state}))
        assert [name for name, each in all_of_them.items() if str(each.pk) in found] == [state]
        assert str(expected.pk) in found
    shown = text(view.get(LIST, {"state": "shown"}))
    assert str(conversation.pk) in shown
    assert str(hidden.pk) not in shown
    assert str(archived.pk) not in shown
    by_persona = {"persona_version__persona__id__exact": persona.pk}
    assert str(conversation.pk) in text(view.get(LIST, by_persona))


def test_the_list_is_narrowed_by_channel_and_language_as_figures_are(
    moderator: User, owner: User, persona: Persona
) -> None:
    given = {
        "page": {"channel": "web", "language": "de"},
        "program": {"channel": "api", "language": "en"},
        "old": {"channel": None, "language": None},
        "short": {"channel": "openai", "language": ""},
    }
    made = {name: make_conversation(owner, persona=persona) for name in given}
    for name, fields in given.items():
        Conversation.objects.filter(pk=made[name].pk).update(**fields)
    view = browser(moderator)
    for query, expected in (
        ({"channel": "web"}, {"page", "old"}),
        ({"channel": "api"}, {"program"}),
        ({"language": "de"}, {"page"}),
        ({"language": "unknown"}, {"old", "short"}),
        ({"channel": "openai", "language": "en"}, set()),
    ):
        found = text(view.get(LIST, query))
        assert {name for name, each in made.items() if str(each.pk) in found} == expected, query


def test_a_reason_opens_the_text_for_one_answer_and_is_recorded(moderator: User, conversation: Conversation) -> None:
    view = browser(moderator)
    answer = view.post(page(conversation, "read"), {"reason": REASON})
    assert all(each in text(answer) for each in (QUESTION, ANSWER, TITLE, COMMENT))
    assert "no-store" in answer.headers["Cache-Control"]
    event = AuditEvent.objects.get(action="conversation.read")
    assert (event.actor.person, event.action, event.object_id, reason_of(event)) == (
        moderator, "conversation.read", str(conversation.pk), REASON,
    )  # fmt: skip
    assert "quokka" not in str(event.details)
    for again in (view.get(page(conversation, "read")), view.get(page(conversation, "change")), view.get(LIST)):
        assert "quokka" not in text(again)


@pytest.mark.parametrize("reason", ["", "   ", "too short", " short  \u202e  x", "123456789 "])
def test_without_a_good_reason_nothing_is_shown_or_recorded(
    moderator: User, conversation: Conversation, reason: str
) -> None:
    answer = browser(moderator).post(page(conversation, "read"), {"reason": reason})
    assert answer.status_code == 200
    assert "quokka" not in text(answer)
    assert not AuditEvent.objects.filter(action="conversation.read").exists()


def test_where_the_record_cannot_be_written_nothing_is_shown(
    moderator: User, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_arguments: object) -> None:
        raise RuntimeError("no record")

    monkeypatch.setattr(moderation, "record_audit", broken)
    view = browser(moderator)
    view.raise_request_exception = False
    answer = view.post(page(conversation, "read"), {"reason": REASON})
    assert answer.status_code == 500
    assert "quokka" not in text(answer)


def test_text_is_shown_as_text(moderator: User, owner: User, persona: Persona) -> None:
    hostile = make_exchange(owner, "<script>alert(1)</script>", "<img src=x onerror=alert(1)>").conversation
    source = text(browser(moderator).post(page(hostile, "read"), {"reason": REASON}))
    assert "<script>alert(1)" not in source
    assert "<img src=x" not in source
    assert "&lt;script&gt;alert(1)" in source


def test_a_long_conversation_opens_in_parts_each_of_them_recorded(
    moderator: User, owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderation, "PAGE", 4)
    made = make_conversation(owner, turns=3)
    newest = moderation.open_text(actor=moderator, conversation_id=made.pk, reason=REASON)
    earlier = moderation.open_earlier(
        actor=moderator, conversation_id=made.pk, access=newest.access, before=newest.messages[0].pk
    )
    assert [m.text for m in (*earlier.messages, *newest.messages)] == [
        "Question 1", "Reply 1", "Question 2", "Reply 2", "Question 3", "Reply 3",
    ]  # fmt: skip
    assert (newest.more, earlier.more) == (True, False)
    read = AuditEvent.objects.with_people().filter(action="conversation.read")
    assert [reason_of(event) for event in read] == [REASON, REASON]
    view = browser(moderator)
    first = view.post(page(made, "read"), {"reason": REASON})
    assert "Reply 1" not in text(first)
    hidden = dict(re.findall(r'name="(access|before)" value="([^"]+)"', text(first)))
    assert hidden["before"] == str(newest.messages[0].pk)
    assert "Reply 1" in text(view.post(page(made, "read"), hidden))


def test_access_ends_after_a_quarter_of_an_hour_for_more_and_on_the_screen(
    moderator: User, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = browser(moderator)
    answer = view.post(page(conversation, "read"), {"reason": REASON})
    seconds, target = answer.headers["Refresh"].split("; url=")
    assert (0 < int(seconds) <= 15 * 60, target) == (True, page(conversation, "read"))
    assert "quokka" not in text(view.get(target))
    access, before = answer.context["opened"].access, uuid4()
    count = AuditEvent.objects.count()
    monkeypatch.setattr(moderation, "ACCESS", timedelta(seconds=0))
    late = view.post(page(conversation, "read"), {"access": access, "before": before})
    assert "Your access to this conversation has ended." in text(late)
    assert "quokka" not in text(late)
    assert "Refresh" not in late.headers
    assert AuditEvent.objects.count() == count


def test_access_is_of_one_person_to_one_conversation(
    moderator: User, owner: User, conversation: Conversation, persona: Persona
) -> None:
    own = moderation.open_text(actor=moderator, conversation_id=conversation.pk, reason=REASON)
    elsewhere = make_exchange(owner, QUESTION, ANSWER).conversation
    count = AuditEvent.objects.filter(action="conversation.read").count()
    for person, opened, access in (
        (make_admin(), conversation, own.access),
        (moderator, elsewhere, own.access),
        (moderator, conversation, own.access[:-2] + "xx"),
        (moderator, conversation, "nothing"),
    ):
        answer = browser(person).post(page(opened, "read"), {"access": access, "before": uuid4()})
        assert answer.status_code == 200
        assert "has ended" in text(answer)
        assert "quokka" not in text(answer)
    assert AuditEvent.objects.filter(action="conversation.read").count() == count


def test_who_is_no_moderator_any_more_opens_no_more(moderator: User, conversation: Conversation) -> None:
    opened = moderation.open_text(actor=moderator, conversation_id=conversation.pk, reason=REASON)
    moderator.role = "user"
    with pytest.raises(ApplicationError) as refused:
        moderation.open_earlier(actor=moderator, conversation_id=conversation.pk, access=opened.access, before=uuid4())
    assert refused.value.code == "not_allowed"


def test_the_owner_sees_who_read_what_when_and_why_and_nobody_else_does(
    moderator: User, owner: User, other: User, conversation: Conversation
) -> None:
    browser(moderator).post(page(conversation, "read"), {"reason": REASON})
    browser(moderator).get(page(conversation, "change"))
    theirs = text(browser(owner).get("/accounts/access-log/"))
    assert theirs.index("Looked up a conversation of yours") < theirs.index("Read a conversation of yours")
    for told in (moderator.username, "Moderator", REASON, f'href="/c/{conversation.pk}/"'):
        assert told in theirs, told
    for person in (other, moderator):
        assert "Nobody has looked at your data." in text(browser(person).get("/accounts/access-log/"))


def test_the_service_itself_asks_for_the_permission(owner: User, conversation: Conversation) -> None:
    with pytest.raises(ApplicationError) as refused:
        moderation.open_text(actor=owner, conversation_id=conversation.pk, reason=REASON)
    assert refused.value.code == "not_allowed"
    assert not AuditEvent.objects.exists()


def test_nothing_is_added_changed_or_deleted_here(conversation: Conversation) -> None:
    view = browser(make_admin())
    feedback = f"/admin/conversations/feedback/{Message.objects.replies().get().pk}/"
    for url in (
        f"{LIST}add/", page(conversation, "change"), page(conversation, "delete"),
        "/admin/conversations/feedback/add/", f"{feedback}change/", f"{feedback}delete/",
    ):  # fmt: skip
        assert view.post(url, {"post": "yes", "title": "new", "value": 1}).status_code == 403
    answer = view.post(LIST, {"action": "delete_selected", "_selected_action": [conversation.pk], "post": "yes"})
    assert answer.status_code in (200, 302, 403)
    conversation.refresh_from_db()
    assert conversation.title == TITLE
    assert Message.objects.count() == 2
    assert view.get("/admin/conversations/message/").status_code == 404


def test_an_absent_or_malformed_id_is_not_found(moderator: User, conversation: Conversation) -> None:
    view = browser(moderator)
    assert view.post(f"{LIST}{moderator.pk}/read/", {"reason": REASON}).status_code == 404
    assert view.get(f"{LIST}nothing/read/").status_code == 404


def test_feedback_shows_its_comment_and_not_the_reply(moderator: User, conversation: Conversation) -> None:
    source = text(browser(moderator).get("/admin/conversations/feedback/"))
    assert COMMENT in source
    assert ANSWER not in source
    assert QUESTION not in source
    assert TITLE not in source


def test_the_list_asks_a_fixed_number_of_queries(
    moderator: User, persona: Persona, django_assert_max_num_queries
) -> None:
    view = browser(moderator)
    for count in (1, 12):
        for _ in range(count):
            make_conversation(make_user(), turns=2)
        with django_assert_max_num_queries(8):
            assert view.get(LIST).status_code == 200


def test_the_pages_names_go_through_gettext(moderator: User, conversation: Conversation) -> None:
    names = [model._meta.verbose_name_plural for model in (Conversation, Feedback)]
    names += [apps.get_app_config("conversations").verbose_name, ConversationAdmin.read_text.short_description]
    assert all(isinstance(name, Promise) for name in names)
    german = browser(moderator).get(page(conversation, "read"), headers={"Accept-Language": "de"})
    assert 'lang="de"' in text(german)


def test_looking_at_what_was_noted_about_a_message_is_recorded_and_told(
    moderator: User, owner: User, conversation: Conversation
) -> None:
    question = Message.objects.filter(role="user").get(conversation=conversation)
    item = ModerationItem.objects.create(message=question, owner=owner, action="flag", category="spam")
    view = browser(moderator)
    for name in ("change", "decide"):
        assert view.get(f"/admin/conversations/moderationitem/{item.pk}/{name}/").status_code == 200
    shown = AuditEvent.objects.by(moderator).filter(action="moderationitem.shown", subject__person=owner)
    assert shown.count() == 2
    assert "Looked at what was noted about a message of yours" in text(browser(owner).get("/accounts/access-log/"))
