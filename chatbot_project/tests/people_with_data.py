"""A person who has left something in every place where a person can write, each with a mark by which it is found."""

from typing import Any
from uuid import uuid4

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from accounts import api_keys, families
from accounts.models import OutgoingMail, SignUp, User
from accounts.scopes import Scope
from accounts.services import queue_mail, record_audit
from accounts.tests.factories import agree, make_user
from analytics.models import Delivery, Report, Subscription
from analytics.quality.models import QualityComment, QualityItem, QualityReview
from chatbot_project.lib.ids import uuid7
from conversations import services
from conversations.models import Citation, Conversation, HandOver, Message
from conversations.safety.models import ModerationItem
from conversations.tests.factories import ask, end
from faqs.gaps import record_gap_question
from faqs.models import FAQFeedback
from faqs.tests.factories import make_faq
from personas.models import Persona

#: What the marks of ``marked_person`` stand in: every field that the registry calls people's own words.
Marks = dict[str, str]


def marked_person(persona: Persona, *, turns: int = 2) -> tuple[User, Marks]:
    """The person, and their marks by ``app.Model.field``."""
    marks: Marks = {}

    def mark(field: str) -> str:
        return marks.setdefault(field, f"canary{uuid4().hex[:12]}")

    user = agree(make_user(f"{mark('accounts.User.email')}@example.org", username=mark("accounts.User.username")))
    api_keys.create_key(user=user, name=mark("accounts.ApiKey.name"), scopes=[Scope.READ])
    families.open_family(user=user, device=mark("accounts.RefreshFamily.device"))
    marks["accounts.SignUp.email"] = marks["accounts.OutgoingMail.to_address"] = marks["accounts.User.email"]
    SignUp.objects.create(email=user.email, username=mark("accounts.SignUp.username"), password="x", user=user)
    queue_mail(kind=OutgoingMail.Kind.PASSWORD_CHANGED, to=user.email or "", user=user)
    _conversations(user, persona, mark, turns)
    _knowledge(user, mark)
    marks["analytics.Subscription.address"] = marks["accounts.User.email"]
    subscription = Subscription.objects.create(address=user.email)
    report = Report.objects.create(grain="week", start=timezone.now(), time_zone="UTC", figures={})
    Delivery.objects.create(subscription=subscription, report=report)
    kind = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(
        user=make_user(), content_type=kind, object_id=str(user.pk), action_flag=CHANGE,
        object_repr=mark("admin.LogEntry.object_repr"), change_message=mark("admin.LogEntry.change_message"),
    )  # fmt: skip
    record_audit(actor=make_user(), action="user.suspended", obj=user, reason=mark("accounts.AuditEvent.reason"))
    return user, marks


def _conversations(user: User, persona: Persona, mark: Any, turns: int) -> None:
    first = ask(user, mark("conversations.Message.text"), persona=persona)
    for number in range(turns):
        accepted = first if number == 0 else ask(user, f"Again {number}", conversation_id=first.conversation.pk)
        end(accepted.reply, f"It is {mark('conversations.Message.text')}.", source="unknown")
    edited = services.edit_message(
        user=user, client_id=mark("conversations.Message.client_id"), message_id=first.question.pk, text="A branch"
    )
    end(edited.reply, "Of it.")
    Message.objects.filter(pk=edited.reply.pk).update(continued_as=mark("conversations.Message.continued_as"))
    Conversation.objects.filter(pk=first.conversation.pk).update(
        title=mark("conversations.Conversation.title"),
        metadata={"ticket": mark("conversations.Conversation.metadata")},
        instructions=mark("conversations.Conversation.instructions"),
        summary=mark("conversations.Conversation.summary"),
    )
    services.give_feedback(
        user=user, message_id=first.reply.pk, value=-1, comment=mark("conversations.Feedback.comment")
    )
    Citation.objects.create(message=first.reply, number=1, question="An approved question?", score=0.7)
    HandOver.objects.create(message=first.reply)
    ModerationItem.objects.create(
        owner=user,
        message=first.question,
        action="block",
        category="other",
        appeal=mark("conversations.ModerationItem.appeal"),
    )
    _review(user, first.reply, persona, mark)


def _review(user: User, reply: Message, persona: Persona, mark: Any) -> None:
    """A reply of theirs was judged, and they have judged another's."""
    for number, (message, reviewer) in enumerate(((reply, make_user()), (None, user))):
        item = QualityItem.objects.create(
            message=message, day=reply.created_at.date(), persona=persona.pk, version=persona.published_id,
            state="settled", verdict="yes",
        )  # fmt: skip
        review = QualityReview.objects.create(
            item=item, slot=1 + number, reviewer=reviewer, lease_until=reply.created_at, done_at=reply.created_at
        )
        if message:
            text = mark("analytics.QualityComment.text")
            QualityComment.objects.create(review=review, message=message, text=text)


def _knowledge(user: User, mark: Any) -> None:
    FAQFeedback.objects.create(
        faq=make_faq(), user=user, version=1, helpful=False, comment=mark("faqs.FAQFeedback.comment")
    )
    record_gap_question(
        text=f"Where is {mark('faqs.GapQuestion.text')}?", language="en", source="below_floor", source_id=uuid7(),
        person=user,
    )  # fmt: skip
