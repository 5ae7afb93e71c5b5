"""What conversations hold of people: what they wrote, what was answered, and what they thought of it."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.privacy.registry import Basis, DataClass, Erasure, Nothing, PersonalData, RedisKeys, Retention, declare
from accounts.retention.holds import not_held
from accounts.retention.policies import Class
from conversations.models import Citation, Conversation, Feedback, HandOver, Message, Tally
from conversations.purging import forget_counted, purge
from conversations.replies.cache.models import CachedReply
from conversations.replies.log import KEEP_LIVE_SECONDS, followers_key, log_key
from conversations.safety.models import ModerationItem, ModerationRule

TALKING = "Answering the person, and keeping their conversations for them."
BATCH = 50


def _delete_conversations(person: Any) -> int:
    """Messages, citations, feedback and requests for a person go with them."""
    rows = not_held(Conversation.objects.filter(owner=person.pk), person="owner", conversation="pk")
    batch = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    purge(batch)
    return len(batch) or _forget_counted(person)  # what the last batch left must lead to nobody either


def _forget_counted(person: Any) -> int:
    return forget_counted([person.pk])


def _live_logs_of(person: Any) -> list[str]:
    """The keys of replies that may have a log still."""
    since = timezone.now() - timedelta(seconds=2 * KEEP_LIVE_SECONDS)
    replies = Message.objects.filter(owner=person.pk, queued_at__gt=since).values_list("pk", flat=True)
    return [key(reply) for reply in replies for key in (log_key, followers_key)]


declare(
    PersonalData(
        model=Conversation,
        about=gettext_noop(
            "Conversations: title, persona, a program's names and instructions, a summary of earlier turns"
        ),
        data_class=DataClass.CONTENT,
        purpose=TALKING,
        basis=Basis.CONTRACT,
        of="owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with all branches, in batches.",
        retention=Retention(
            "Until the person deletes it, then for the days in which that can be undone; asked in passing, so many "
            "days; a guest's as long as the guest; else so many days after the last activity, if set.",
            (Class.DELETED, Class.PASSING, Class.CONTENT),
            "updated_at",
        ),
        section="conversations",
        exported=(
            *("id", "title", "persona_version", "pinned", "archived_at", "deleted_at", "created_at", "updated_at"),
            *("metadata", "instructions", "summary"),
            *("channel", "language"),
        ),
        written=("title", "metadata", "instructions", "summary"),
        fixed=("language",),
        erase=_delete_conversations,
    ),
    PersonalData(
        model=Message,
        about=gettext_noop("Questions and replies of all branches"),
        data_class=DataClass.CONTENT,
        purpose=TALKING,
        basis=Basis.CONTRACT,
        of="owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with its conversation.",
        retention=Retention("As its conversation.", since="created_at"),
        section="messages",
        order=("conversation", "created_at", "pk"),
        exported=(
            *("id", "conversation", "parent", "role", "status", "text", "created_at", "finished_at", "model"),
            *("finish_reason", "error_code", "source", "prompt_tokens", "completion_tokens"),
            *("cached_at", "bypass_cache"),
        ),
        written=("text", "client_id", "continued_as"),
        fixed=("provider", "worker", "model", "finish_reason", "error_code", "offers", "cache_key", "request_id"),
    ),
    PersonalData(
        model=Feedback,
        about=gettext_noop("What the person thought of a reply"),
        data_class=DataClass.OPINION,
        purpose="Making replies better.",
        basis=Basis.INTEREST,
        of="message__owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with its conversation.",
        retention=Retention("As its conversation.", since="created_at"),
        section="feedback",
        exported=("message", "value", "comment", "created_at", "updated_at"),
        written=("comment",),
    ),
    PersonalData(
        model=Citation,
        about=gettext_noop("Which approved answers a reply used"),
        data_class=DataClass.CONTENT,
        purpose=TALKING,
        basis=Basis.CONTRACT,
        of="message__owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with its conversation.",
        retention=Retention("As its conversation."),
        section="citations",
        exported=("message", "number", "question", "score"),
        fixed=("question", "phrasing"),
    ),
    PersonalData(
        model=HandOver,
        about=gettext_noop("Requests for a person below a reply"),
        data_class=DataClass.CONTENT,
        purpose="Letting a moderator help where the assistant did not know.",
        basis=Basis.CONTRACT,
        of="message__owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with its conversation.",
        retention=Retention("As its conversation.", since="created_at"),
        section="requests_for_a_person",
        exported=("message", "state", "created_at", "resolved_at"),
        references={"resolved_by": "emptied when that moderator is erased"},
    ),
    PersonalData(
        model=ModerationItem,
        about=gettext_noop("Messages that broke a moderation rule, what was decided and objected"),
        data_class=DataClass.CONTENT,
        purpose="Keeping people safe from each other and from what a model says, and letting them object.",
        basis=Basis.INTEREST,
        of="owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with its conversation.",
        retention=Retention(
            "As its conversation; decided ones so many days after the decision, if set, and for as long as they count.",
            (Class.MODERATION,),
            "decided_at",
        ),
        section="moderation",
        exported=(
            "message",
            "action",
            "category",
            "created_at",
            "state",
            "answer",
            "decided_at",
            "appeal",
            "appealed_at",
        ),
        written=("appeal",),
        fixed=("note", "answer", "withdrawn"),
        references={"decided_by": "emptied when that moderator is erased"},
    ),
    Nothing(
        CachedReply, "Replies to questions without personal data, which hold none either; not who asked, nor what."
    ),
    Nothing(ModerationRule, "The organisation's rules."),
    PersonalData(
        model=Tally,
        about=gettext_noop("What counts of messages that were removed: when, persona, ending, tokens; no text, no id"),
        data_class=DataClass.RECORD,
        purpose="Figures that do not change when conversations are removed.",
        basis=Basis.INTEREST,
        of="person",
        erasure=Erasure.ANONYMISE,
        erasure_note="The person's id becomes a number of chance, the same in all their lines, which leads nowhere.",
        retention=Retention("For good; without the person once the account is gone.", since="at"),
        not_exported="Each line tells only that something was said in a quarter of an hour; what was said is gone.",
        fixed=("role", "status", "source", "model", "channel", "language", "faqs"),
        erase=_forget_counted,
    ),
    RedisKeys(
        "nono:log:*",
        "What a reply has said while it is written",
        "the reply's text",
        "20 seconds after its end; an hour where its worker died",
        _live_logs_of,
    ),
    RedisKeys("nono:followers:*", "Which web processes follow a reply", "", "five minutes from its end"),
    RedisKeys("nono:held:*", "That a worker streams a reply, while the database does not hear it", "", "seconds"),
    RedisKeys("nono:presence*", "Who is connected", "ids of people and conversations", "10 seconds after they left"),
    RedisKeys("nono:resting:*", "That a model provider is given a rest after failures", "", "seconds"),
    RedisKeys("nono:pace", "How fast the reply workers start replies", "", "10 seconds"),
    RedisKeys("nono:worker-alive", "That a reply worker is alive", "", "seconds"),
    RedisKeys("nono:web:*", "Channel of a web process", "", "nothing is stored: it publishes alone"),
    RedisKeys("nono:workers", "Channel of the workers", "", "nothing is stored: it publishes alone"),
    RedisKeys("nono:people", "Channel of people's lists", "", "nothing is stored: it publishes alone"),
)
