"""Conversations of demo people as rows, written in batches. No signal, no task and no mail comes of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from random import Random

from django.db import models
from django.db.models import F

from accounts.models import User
from analytics.demo.answers import Answer
from analytics.demo.ids import uuid7_at
from analytics.demo.knowledge import FAQs, Versions
from analytics.demo.talks import Talk, Turn, whole
from chatbot_project.lib.text import shorten
from conversations.models import Citation, Conversation, Feedback, HandOver, Message
from conversations.safety.models import ModerationItem
from conversations.services import TITLE_LENGTH

TALKS = 400  # written at once
ROWS = 2000  # of one statement
SETTLED = timedelta(days=3)  # what is older was dealt with by somebody


@dataclass(slots=True)
class _Rows:
    """What a batch of conversations comes to, in an order in which it may be inserted."""

    conversations: list[Conversation] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    hand_overs: list[HandOver] = field(default_factory=list)
    moderated: list[ModerationItem] = field(default_factory=list)

    def insert(self) -> Counter[type[models.Model]]:
        """Insert all of them; how many of each model."""
        written: Counter[type[models.Model]] = Counter()
        kinds: list[list[models.Model]] = [getattr(self, name) for name in self.__slots__]
        for rows in filter(None, kinds):
            type(rows[0])._default_manager.bulk_create(rows, batch_size=ROWS)
            written[type(rows[0])] += len(rows)
        return written


@dataclass(frozen=True, slots=True)
class Writer:
    """Knows the rows that conversations lead to."""

    people: Mapping[str, User]
    versions: Versions
    faqs: FAQs
    now: datetime
    chance: Random

    def write(self, talks: Iterable[Talk]) -> Counter[type[models.Model]]:
        """Insert all of ``talks``; how many rows of each model."""
        written: Counter[type[models.Model]] = Counter()
        waiting: Iterator[Talk] = iter(talks)
        while batch := list(islice(waiting, TALKS)):
            rows = _Rows()
            for talk in batch:
                self._add_talk(rows, talk)
            written += rows.insert()
        # The model sets this itself to the time of writing.
        Feedback.objects.filter(message__owner__in=self.people.values()).update(updated_at=F("created_at"))
        return written

    def _add_talk(self, rows: _Rows, talk: Talk) -> None:
        owner = self.people[talk.person.username]
        conversation = Conversation(
            id=talk.id,
            owner=owner,
            persona_version=self.versions[talk.plan.slug, talk.version],
            title=shorten(talk.turns[0].text, TITLE_LENGTH),
            created_at=talk.began_at,
            updated_at=talk.last_at,
            revision=len(talk.turns),
            pinned=self.chance.random() < 0.01,
            channel=None if talk.channel == Conversation.Channel.WEB else talk.channel,
            language=talk.person.language,
        )
        parent: Message | None = None
        for turn in talk.turns:
            parent = self._add_turn(rows, conversation, turn, parent, talk.person.language)
        conversation.active_leaf = parent
        rows.conversations.append(conversation)

    def _add_turn(
        self, rows: _Rows, conversation: Conversation, turn: Turn, parent: Message | None, language: str
    ) -> Message:
        """The reply that the conversation goes on from."""
        question = Message(
            id=turn.id, conversation=conversation, owner=conversation.owner, parent=parent,
            role=Message.Role.USER, status=Message.Status.SENT, text=turn.text, created_at=turn.at,
        )  # fmt: skip
        rows.messages.append(question)
        if turn.is_flagged:
            rows.moderated.append(self._moderated(question, "flag"))
        for pk, at, answer in turn.replies:
            reply = _reply(question, answer, at)
            reply.id = pk
            reply.offers = _offers(conversation, answer)
            rows.messages.append(reply)
            self._add_what_hangs_on(rows, reply, answer, language)
        return reply

    def _add_what_hangs_on(self, rows: _Rows, reply: Message, answer: Answer, language: str) -> None:
        ended = reply.finished_at or reply.created_at
        if answer.cited is not None:
            faq = self.faqs[answer.cited.number, language]
            rows.citations.append(
                Citation(
                    id=uuid7_at(ended, self.chance), message=reply, faq=faq, number=1, question=faq.question,
                    score=answer.score,
                )
            )  # fmt: skip
        if answer.value:
            at = min(self.now, ended + timedelta(seconds=self.chance.uniform(4, 90)))
            rows.feedback.append(Feedback(message=reply, value=answer.value, comment=answer.comment, created_at=at))
        if answer.hands_over:
            rows.hand_overs.append(self._hand_over(reply, min(self.now, ended + timedelta(seconds=20))))
        if answer.is_flagged:
            rows.moderated.append(self._moderated(reply, "block"))

    def _hand_over(self, reply: Message, at: datetime) -> HandOver:
        done_at = at + timedelta(hours=self.chance.lognormvariate(1.5, 0.9))
        is_done = done_at < self.now and self.chance.random() < 0.95
        return HandOver(
            id=uuid7_at(at, self.chance), message=reply, created_at=at,
            state=HandOver.State.DONE if is_done else HandOver.State.OPEN, resolved_at=done_at if is_done else None,
        )  # fmt: skip

    def _moderated(self, message: Message, action: str) -> ModerationItem:
        at = message.finished_at or message.created_at
        state, decided_at = ModerationItem.State.OPEN, None
        if at < self.now - SETTLED:
            state = self.chance.choice([ModerationItem.State.UPHELD, ModerationItem.State.DISMISSED])
            decided_at = at + timedelta(hours=self.chance.uniform(1, 60))
        category = self.chance.choice(["harassment", "spam", "other"])
        return ModerationItem(
            id=uuid7_at(at, self.chance), message=message, owner=message.owner, action=action, category=category,
            created_at=at, state=state, decided_at=decided_at,
        )  # fmt: skip


def _reply(question: Message, answer: Answer, at: datetime) -> Message:
    started = at + timedelta(seconds=answer.waited)
    first = None if answer.first_token is None else started + timedelta(seconds=answer.first_token)
    return Message(
        conversation=question.conversation,
        owner=question.owner,
        parent=question,
        role=Message.Role.ASSISTANT,
        status=answer.status,
        text=answer.text,
        created_at=at,
        provider="demo",
        epoch=1,
        stop_requested=answer.status == Message.Status.STOPPED,
        queued_at=at,
        started_at=started,
        first_token_at=first,
        finished_at=at + timedelta(seconds=whole(answer)),
        model=answer.model,
        finish_reason=answer.finish_reason,
        error_code=answer.error_code,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        usage_estimated=answer.is_estimated,
        source=answer.source,
    )


def _offers(conversation: Conversation, answer: Answer) -> list[dict[str, object]] | None:
    if answer.source != Message.Source.UNKNOWN:
        return None
    return [
        {"kind": kind, "text": "", "done": kind == "handover" and answer.hands_over}
        for kind in conversation.persona_version.unknown_offers
    ] or None
