"""Conversations: a tree of messages per conversation. An assistant message is a reply, and its row is the queue."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.retention.policies import Class, kept_since
from chatbot_project.lib.ids import uuid7

#: How a list of conversations may be ordered. First the list's own: pinned ones, then the newest activity.
LIST_ORDERINGS: Mapping[str, Sequence[str]] = {
    "-pinned": ("-pinned", "-updated_at", "-id"),
    "-updated_at": ("-updated_at", "-id"),
    "updated_at": ("updated_at", "id"),
    "-created_at": ("-created_at", "-id"),
    "created_at": ("created_at", "id"),
}


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def visible_to(self, user: Any) -> Self:
        """The person's own conversations that are not deleted or over. Staff read others' elsewhere, with a reason."""
        return self.filter(owner_id=user.pk, deleted_at=None).kept()

    def kept(self) -> Self:
        """Those whose time is not over, by their own or by the policy: what is over is not shown, removed or not."""
        return self.filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=Now()), updated_at__gt=kept_since(Class.CONTENT)
        )

    def listed(self, *, archived: bool = False) -> Self:
        """Those of the list, or of the archive, with their personas; to be paged in one of LIST_ORDERINGS.

        What was asked in passing is in neither.
        """
        found = self.filter(archived_at__isnull=not archived, expires_at=None)
        return found.select_related("persona_version__persona").defer("summary", "instructions")

    def with_persona(self, slug: str) -> Self:
        """Those with any version of that persona."""
        return self.filter(persona_version__persona__slug=slug)

    def titled(self, words: str) -> Self:
        """Those whose title contains every one of ``words``, in any case and order."""
        found = self
        for word in words.split()[:8]:
            found = found.filter(title__icontains=word)
        return found


class Conversation(models.Model):
    """One person's talk with one version of a persona."""

    class TitleSource(models.TextChoices):
        QUESTION = "question", _("first question")
        MODEL = "model", _("model")
        PERSON = "person", _("person")

    class Channel(models.TextChoices):
        """By which of the product's doors it was begun."""

        WEB = "web", _("web page")
        API = "api", _("JSON API")
        OPENAI = "openai", _("OpenAI-compatible API")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    persona_version = models.ForeignKey("personas.PersonaVersion", on_delete=models.PROTECT, related_name="+")
    title = models.CharField(_("title"), max_length=120)
    title_source = models.CharField(max_length=10, choices=TitleSource, default=TitleSource.QUESTION)
    pinned = models.BooleanField(_("pinned"), default=False)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)
    created_at = models.DateTimeField(_("started"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("last activity"), default=timezone.now)
    # Where a program asked in passing (/v1/chat/completions without "store"): purged then, and in no list until then.
    expires_at = models.DateTimeField(_("kept until"), null=True, blank=True)
    # A program's own names for it, {name: text}. Null, and left out of the insert, where there are none.
    metadata = models.JSONField(_("metadata"), null=True, blank=True)
    # What a program told the persona beside its own prompt, which stays above it. Null as above.
    instructions = models.TextField(_("instructions"), null=True, blank=True)  # noqa: DJ001
    # Null is the web page, and is left out of the insert.
    channel = models.CharField(_("channel"), max_length=10, choices=Channel, null=True)  # noqa: DJ001
    # What its first question is written in (ISO 639-1), once a task has looked; "" where that is not clear.
    language = models.CharField(_("language"), max_length=7, null=True)  # noqa: DJ001
    # Rises with every change that a list or an open page must show.
    revision = models.PositiveIntegerField(default=1)
    # The end of the branch that is shown. No constraint in the database: a message and its conversation point at
    # each other, and the services keep it right.
    active_leaf = models.ForeignKey(
        "Message", on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    # What the turns up to and including summary_upto said, for prompts in which they no longer fit.
    summary = models.TextField(blank=True)
    summary_upto = models.ForeignKey(
        "Message", on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes: ClassVar = [
            # The conversation list: one person's, pinned first, newest activity first.
            models.Index(
                fields=["owner", "-pinned", "-updated_at", "-id"],
                name="conversation_list",
                condition=models.Q(deleted_at=None, expires_at=None),
            ),
            # The purge of what was deleted, and of what was asked in passing.
            models.Index(
                fields=["deleted_at"], name="conversation_purge", condition=models.Q(deleted_at__isnull=False)
            ),
            # Figures: those of some days, and their list in order of beginning and of last activity.
            models.Index(fields=["created_at", "id"], name="conversation_begun"),
            models.Index(fields=["updated_at", "id"], name="conversation_activity"),
            models.Index(
                fields=["expires_at"], name="conversation_expiry", condition=models.Q(expires_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class MessageQuerySet(models.QuerySet["Message"]):
    def visible_to(self, user: Any) -> Self:
        """Messages of the person's own conversations that are not deleted or over."""
        return self.filter(
            models.Q(conversation__expires_at=None) | models.Q(conversation__expires_at__gt=Now()),
            owner_id=user.pk, conversation__deleted_at=None, conversation__updated_at__gt=kept_since(Class.CONTENT),
        )  # fmt: skip

    def replies(self) -> Self:
        return self.filter(role=Message.Role.ASSISTANT)


class Message(models.Model):
    """A question or a reply. ``owner`` repeats the conversation's, so that a query or a shard needs no join."""

    class Role(models.TextChoices):
        USER = "user", _("question")
        ASSISTANT = "assistant", _("reply")

    class Status(models.TextChoices):
        SENT = "sent", _("sent")
        QUEUED = "queued", _("waiting")
        STREAMING = "streaming", _("streaming")
        COMPLETED = "completed", _("completed")
        STOPPED = "stopped", _("stopped")
        INTERRUPTED = "interrupted", _("interrupted")
        FAILED = "failed", _("failed")

    LIVE: ClassVar = frozenset({Status.QUEUED, Status.STREAMING})

    class Source(models.TextChoices):
        MODEL = "model", _("model, with the FAQ")
        FAQ = "faq", _("approved answer")
        FAQ_OFFLINE = "faq_offline", _("approved answer, assistant offline")
        UNKNOWN = "unknown", _("not known")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Its index is message_transcript.
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="children")
    role = models.CharField(max_length=10, choices=Role)
    status = models.CharField(max_length=12, choices=Status)
    text = models.TextField(_("text"), blank=True)
    client_id = models.CharField(max_length=64, null=True)  # noqa: DJ001  null is "none given", which may repeat
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # The life of a reply (role assistant).
    provider = models.CharField(max_length=64, blank=True)  # whose slots it takes: the first half of its model's name
    epoch = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=64, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    stop_requested = models.BooleanField(default=False)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    model = models.CharField(max_length=200, blank=True)  # the one that answered, "provider/name"
    finish_reason = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    usage_estimated = models.BooleanField(default=False)
    # The client_id of the command that last let it go on, so that sending that again lets it go on once.
    continued_as = models.CharField(max_length=64, null=True)  # noqa: DJ001  as client_id
    # How long the reply may become where whoever asked set a nearer bound than the persona.
    max_tokens = models.PositiveIntegerField(null=True)
    # Where the FAQ was asked: what the reply came from, and [{kind, text, done}] that is offered below it. Null in all
    # other rows, whose insert leaves them out.
    source = models.CharField(_("source"), max_length=12, choices=Source, null=True)  # noqa: DJ001
    offers = models.JSONField(null=True)
    # Where a reply was given before, to somebody else: when a model wrote it. By which key it is kept for others. And
    # whether whoever asks wants it anew. Null as above.
    cached_at = models.DateTimeField(null=True)
    cache_key = models.CharField(max_length=64, null=True)  # noqa: DJ001  as source
    bypass_cache = models.BooleanField(null=True)
    # Which request or command queued it last, for the worker's log lines (chatbot_project/lib/correlation.py).
    request_id = models.CharField(max_length=64, null=True)  # noqa: DJ001  as source

    #: What the reply cites, once ``transcript.load_citations`` has read it.
    cited: "Sequence[Citation]" = ()
    #: The branches at this point, itself included, and what its person thinks of it, once ``transcript.load_shown`` has
    #: read them.
    beside: "Sequence[UUID]" = ()
    opinion: "Feedback | None" = None

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints: ClassVar = [
            # Sending again is harmless: the second insert is refused and the first one's answer is given. By owner
            # and not by conversation, because the first question of a conversation has none yet.
            models.UniqueConstraint(
                fields=["owner", "client_id"], name="message_client_id", condition=models.Q(client_id__isnull=False)
            ),
            models.CheckConstraint(
                name="message_role_status",
                condition=models.Q(role="user", status="sent")
                | (models.Q(role="assistant") & ~models.Q(status="sent")),
            ),
        ]
        indexes: ClassVar = [
            # The transcript and the children of a message (branches) come by parent and by conversation.
            models.Index(fields=["conversation", "created_at"], name="message_transcript"),
            # How much one person has under way: the bound at accepting, fairness at claiming; and all live replies, for
            # leases that ran out. The lease itself is in no index, so that renewing it updates no index.
            models.Index(fields=["owner"], name="message_live", condition=models.Q(status__in=["queued", "streaming"])),
            # A worker's claim: the oldest of each provider, and which providers there are.
            models.Index(fields=["provider", "queued_at"], name="message_line", condition=models.Q(status="queued")),
            # Figures: what was said on some days.
            models.Index(fields=["created_at"], name="message_created"),
            # What was not known of late, to make up for lost lines of the editors' list.
            models.Index(fields=["finished_at"], name="message_unknown", condition=models.Q(source="unknown")),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE


class Feedback(models.Model):
    """What a person thought of a reply: one per reply."""

    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="feedback", primary_key=True)
    value = models.SmallIntegerField(_("value"), choices=[(1, _("helpful")), (-1, _("not helpful"))])
    comment = models.CharField(_("comment"), max_length=2000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")

    def __str__(self) -> str:
        return f"{self.value:+d} {self.message_id}"


class Citation(models.Model):
    """An FAQ that a reply draws on. ``number`` is the reply's mark for it, ``[1]``; ``question`` what the FAQ was
    then, ``score`` the probability that it answers the question."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="citations", db_index=False)
    faq = models.ForeignKey("faqs.FAQ", on_delete=models.SET_NULL, null=True, related_name="citations")
    number = models.PositiveSmallIntegerField(_("number"))
    question = models.CharField(_("question"), max_length=500)
    phrasing = models.CharField(_("phrasing"), max_length=500, blank=True)
    score = models.FloatField(_("score"))

    class Meta:
        verbose_name = _("citation")
        verbose_name_plural = _("citations")
        ordering: ClassVar = ["message", "number"]
        constraints: ClassVar = [
            # Also the index by message: the list below a reply.
            models.UniqueConstraint(fields=["message", "number"], name="citation_number_once"),
        ]

    def __str__(self) -> str:
        return f"[{self.number}] {self.message_id}"


class HandOver(models.Model):
    """Somebody asked for a person below a reply that did not know. One per reply."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        DONE = "done", _("done")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="hand_over")
    state = models.CharField(_("state"), max_length=4, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(_("asked for"), default=timezone.now, editable=False)
    resolved_at = models.DateTimeField(_("done at"), null=True, editable=False)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("done by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("request for a person")
        verbose_name_plural = _("requests for a person")
        indexes: ClassVar = [
            # What waits for a moderator, oldest first.
            models.Index(fields=["state", "created_at"], name="hand_over_list"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.message_id}"


class Tally(models.Model):
    """What counts of a message that was removed, or of a conversation (``role`` is empty). Written by purging.py.

    ``person`` is whose it was as long as they have an account, so that people are counted once; then a number of
    chance, the same in all their lines. There are no constraints. ``at`` is cut to a quarter of an hour. Times are in
    seconds: from a reply's being queued to its first token, to its end, and to its being claimed by a worker.
    """

    at = models.DateTimeField()
    persona = models.UUIDField()
    version = models.UUIDField(null=True)
    channel = models.CharField(max_length=10, null=True)  # noqa: DJ001  as Conversation.channel
    language = models.CharField(max_length=7, null=True)  # noqa: DJ001  as Conversation.language
    person = models.UUIDField()
    role = models.CharField(max_length=10, blank=True)
    status = models.CharField(max_length=12, blank=True)
    source = models.CharField(max_length=12, null=True)  # noqa: DJ001  as Message.source
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    usage_estimated = models.BooleanField(default=False)
    feedback = models.SmallIntegerField(null=True)
    first_token = models.FloatField(null=True)
    whole = models.FloatField(null=True)
    waited = models.FloatField(null=True)
    model = models.CharField(max_length=200, blank=True, db_default="")
    commented = models.BooleanField(db_default=False)
    handed_over = models.BooleanField(db_default=False)
    fell_back = models.BooleanField(db_default=False)  # another provider answered than was asked
    cached = models.BooleanField(db_default=False)  # what a model had said to somebody else
    turns = models.PositiveIntegerField(null=True)  # of a conversation: its questions
    faqs = ArrayField(models.UUIDField(), null=True)  # that it cited

    class Meta:
        verbose_name = _("tally")
        verbose_name_plural = _("tallies")
        indexes: ClassVar = [
            models.Index(fields=["at"], name="tally_at"),  # figures of some days
            models.Index(fields=["person", "at"], name="tally_of_person"),  # one person's figures; their erasure
        ]

    def __str__(self) -> str:
        return str(self.pk)


# Django finds models here.
from conversations.replies.cache.models import CachedReply  # noqa: E402, F401
from conversations.safety.models import ModerationItem, ModerationRule  # noqa: E402, F401
