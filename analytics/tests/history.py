"""A made-up history of conversations, and what it comes to when it is counted one by one."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from analytics.figures import Endings, Figures, FirstToken, Sources, Thumbs, Tokens
from conversations.models import Conversation, Feedback, Message
from personas.models import Persona

STATUSES = [status for status in Message.Status if status != Message.Status.SENT]


@dataclass
class History:
    conversations: list[Conversation]
    messages: list[Message]
    feedback: dict[Any, int]

    def figures(self, wanted: Callable[[Conversation | Message], bool]) -> Figures:
        """Those of the conversations and messages that are ``wanted``."""
        messages = [message for message in self.messages if wanted(message)]
        questions = [message for message in messages if message.role == "user"]
        replies = [message for message in messages if message.role == "assistant"]
        given = [self.feedback[reply.pk] for reply in replies if reply.pk in self.feedback]
        waits = sorted((r.first_token_at - r.queued_at).total_seconds() for r in replies if r.first_token_at)
        return Figures(
            conversations=sum(map(wanted, self.conversations)),
            questions=len(questions),
            active_people=len({question.owner_id for question in questions}),
            replies=Endings(
                *(sum(reply.status == status for reply in replies) for status in Endings._fields[:4]),
                live=sum(reply.is_live for reply in replies),
            ),
            tokens=Tokens(
                sum(reply.prompt_tokens or 0 for reply in replies),
                sum(reply.completion_tokens or 0 for reply in replies),
                sum((r.prompt_tokens or 0) + (r.completion_tokens or 0) for r in replies if r.usage_estimated),
            ),
            feedback=Thumbs(given.count(1), given.count(-1)),
            sources=Sources(*(sum(reply.source == source for reply in replies) for source in Sources._fields)),
            first_token=FirstToken(len(waits), percentile(waits, 0.5), percentile(waits, 0.95)),
        )


def percentile(values: list[float], share: float) -> float | None:
    """Interpolated between the two nearest of ``values``, which are sorted; to a thousandth."""
    if not values:
        return None
    place = (len(values) - 1) * share
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return round(values[below] + (values[above] - values[below]) * (place - below), 3)


def make_history(
    seed: int, people: Iterable[User], personas: Iterable[Persona], start: datetime, days: float, *, size: int = 30
) -> History:
    """``size`` conversations that begin at any time from ``start`` on, and go on for up to two days."""
    chance = random.Random(seed)
    people, personas = list(people), list(personas)
    conversations, messages = [], []
    for _number in range(size):
        begun = start + timedelta(days=days) * chance.random()
        conversation = Conversation(
            owner=chance.choice(people),
            persona_version=chance.choice(personas).published,
            title="x",
            created_at=begun,
            updated_at=begun + timedelta(hours=1),
            deleted_at=chance.choice([None, None, begun]),
            expires_at=chance.choice([None, None, begun]),
            channel=chance.choice([None, "api", "openai"]),
            language=chance.choice([None, "", "de", "en"]),
        )
        conversations.append(conversation)
        for _turn in range(chance.randrange(6)):
            at = begun + timedelta(days=2) * chance.random()
            question = Message(
                conversation=conversation, owner=conversation.owner, role="user", status="sent", text="?", created_at=at
            )
            messages += [question, _reply(chance, question)]
    Conversation.objects.bulk_create(conversations)
    Message.objects.bulk_create(messages)
    liked = {m.pk: chance.choice([1, -1]) for m in messages if m.role == "assistant" and chance.random() < 0.3}
    Feedback.objects.bulk_create(Feedback(message_id=pk, value=value) for pk, value in liked.items())
    return History(conversations, messages, liked)


def _reply(chance: random.Random, question: Message) -> Message:
    queued = question.created_at + timedelta(milliseconds=chance.randrange(500))
    tokens = chance.choice([(None, None), (chance.randrange(1000), chance.randrange(300))])
    return Message(
        conversation=question.conversation,
        owner=question.owner,
        parent=question,
        role="assistant",
        status=chance.choice(STATUSES),
        created_at=question.created_at,
        queued_at=queued,
        started_at=chance.choice([None, queued + timedelta(milliseconds=chance.randrange(2000))]),
        finished_at=chance.choice([None, queued + timedelta(milliseconds=chance.randrange(20000))]),
        provider="acme",
        model=chance.choice(["", "acme/big", "acme/small", "spare/big"]),
        # In steps whose twentieths are whole milliseconds: no figure lies between two to be rounded to.
        first_token_at=chance.choice([None, queued + timedelta(milliseconds=20 * chance.randrange(450))]),
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        usage_estimated=chance.random() < 0.3,
        source=chance.choice([None, *Message.Source.values]),
        cached_at=chance.choice([None, None, queued]),
    )
