"""What ``/v1/`` answers: chat completions, whole and in chunks, and models. Plain values, without I/O."""

from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from conversations.events import CitationInfo, OfferInfo, Time
from conversations.models import Message
from conversations.openai_api.reading import Said
from conversations.openai_api.requests import MODEL_PREFIX
from personas.models import Persona

_REASONS = frozenset({"stop", "length", "content_filter"})


class ReplyMessage(Struct):
    role: Literal["assistant"]
    content: str
    refusal: None = None


class Choice(Struct):
    message: ReplyMessage
    finish_reason: Literal["stop", "length", "content_filter"]
    index: Literal[0] = 0
    logprobs: None = None


class Usage(Struct):
    """Tokens of the model; zero where an approved answer or one given before needed none."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Origin(Struct, omit_defaults=True):
    """What OpenAI's protocol has no place for: where the reply is, and what it came from (as in the chat protocol)."""

    conversation: UUID | None = None
    message: UUID | None = None
    reply: UUID | None = None
    source: Literal["", "model", "faq", "faq_offline", "unknown"] = ""
    citations: list[CitationInfo] = []
    offers: list[OfferInfo] = []
    usage_estimated: bool = False
    cached_at: Time | None = None


class ChatCompletion(Struct, kw_only=True):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: None = None
    nono: Origin


class Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Struct):
    delta: Delta
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletionChunk(Struct, kw_only=True, omit_defaults=True):
    """A piece of a reply. The last one but for the usage has the ``finish_reason``."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    nono: Origin | None = None


class Model(Struct, kw_only=True):
    """A persona."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "nono"
    name: str
    description: str


class ModelList(Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


def model_of(persona: Persona) -> Model:
    """``persona`` as a model. Reads its published version: select it with the persona."""
    version = persona.published
    assert version is not None
    assert version.published_at is not None
    return Model(
        id=f"{MODEL_PREFIX}{persona.slug}",
        created=int(version.published_at.timestamp()),
        name=version.name,
        description=version.description,
    )


class Completion:
    """One reply in OpenAI's words. ``model`` is what the request called it."""

    def __init__(self, reply: Message, model: str, *, with_usage: bool = False) -> None:
        self.origin = Origin(conversation=reply.conversation_id, message=reply.parent_id, reply=reply.pk)
        self._id = f"chatcmpl-{reply.pk.hex}"
        self._created = int(reply.created_at.timestamp())
        self._model = model
        self._with_usage = with_usage

    def whole(self, said: Said) -> bytes:
        """The answer's body for a reply that was completed."""
        choice = Choice(ReplyMessage("assistant", said.text), _reason(said))
        origin = _origin(said, self.origin)
        return msgspec.json.encode(
            ChatCompletion(
                id=self._id, created=self._created, model=self._model, choices=[choice], usage=_usage(said), nono=origin
            )
        )

    def beginning(self) -> bytes:
        """The chunk before all text."""
        return self._chunk([ChunkChoice(Delta("assistant", ""))], nono=self.origin)

    def piece(self, text: str) -> bytes:
        """A chunk with more text."""
        return self._chunk([ChunkChoice(Delta(content=text))])

    def end(self, said: Said) -> bytes:
        """What follows the text of a reply that was completed."""
        last = self._chunk([ChunkChoice(Delta(), _reason(said))], nono=_origin(said, Origin()))
        usage = self._chunk([], usage=_usage(said)) if self._with_usage else b""
        return last + usage + b"data: [DONE]\n\n"

    def _chunk(self, choices: list[ChunkChoice], *, usage: Usage | None = None, nono: Origin | None = None) -> bytes:
        chunk = ChatCompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage if self._with_usage else msgspec.UNSET,
            nono=nono,
        )
        return event(msgspec.json.encode(chunk))


def event(data: bytes) -> bytes:
    """One Server-Sent Event. JSON has no line break in it."""
    return b"data: " + data + b"\n\n"


def _reason(said: Said) -> Any:
    """Models know other reasons than these, all of which mean that they were done."""
    return said.finish_reason if said.finish_reason in _REASONS else "stop"


def _usage(said: Said) -> Usage:
    if said.usage is None:
        return Usage(0, 0, 0)
    prompt, completion = said.usage.prompt_tokens, said.usage.completion_tokens
    return Usage(prompt, completion, prompt + completion)


def _origin(said: Said, place: Origin) -> Origin:
    return Origin(
        place.conversation,
        place.message,
        place.reply,
        said.source,
        said.citations,
        said.offers,
        said.usage is not None and said.usage.estimated,
        said.cached_at,
    )
