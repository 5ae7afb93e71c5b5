"""What ``POST /v1/chat/completions`` takes: read strictly where it matters, refused by name where it cannot be done.

Fields that are not named here are ignored, as OpenAI-compatible servers do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Meta, Struct

from chatbot_project.lib.api.errors import BODY, InvalidInput
from chatbot_project.lib.errors import ApplicationError
from conversations.completions import Asking
from conversations.events import MAX_TEXT
from conversations.replies.prompt import Turn

MAX_MESSAGES = 400
MAX_CHARACTERS = 200_000  # of all messages together
MODEL_PREFIX = "persona:"
_MAX_TOKENS = 2**31 - 1  # what the column holds; no persona's bound comes near it

_Tokens = Annotated[int, Meta(ge=1, le=_MAX_TOKENS)]
_Penalty = Annotated[float, Meta(ge=-2, le=2, description="Accepted, without effect: the persona decides.")]
_Nothing = Annotated[list[Any], Meta(max_length=0, description="Not supported.")]


class TextPart(Struct):
    """A piece of a message's text. Images, audio and files are refused."""

    type: Literal["text"]
    text: str


class ChatMessage(Struct):
    """``system`` and ``developer`` messages are wishes that stand below the persona's own prompt."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Struct):
    include_usage: bool | None = None


class TextFormat(Struct):
    """Other formats are not supported."""

    type: Literal["text"] = "text"


class ChatCompletionRequest(Struct):
    """A whole conversation, the last message of which is the user's, and what is wished of the reply."""

    model: Annotated[str, Meta(max_length=200, description="A persona, as `persona:support`.")]
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[_Tokens, Meta(description="Lowers the persona's own bound.")] | None = None
    max_completion_tokens: Annotated[_Tokens, Meta(description="As `max_tokens`; the lower one holds.")] | None = None
    store: Annotated[bool, Meta(description="Keep it as a conversation in the person's list.")] | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16, description="Kept with the conversation."),
        ]
        | None
    ) = None
    temperature: Annotated[float, Meta(ge=0, le=2, description="Accepted, without effect.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="Accepted, without effect.")] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: Annotated[int, Meta(description="Accepted, without effect.")] | None = None
    user: Annotated[str, Meta(description="Accepted, without effect.")] | None = None
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    stop: _Nothing | None = None
    tools: _Nothing | None = None
    functions: _Nothing | None = None

    @property
    def persona_slug(self) -> str:
        """Empty where the model's name is no persona's."""
        return self.model.removeprefix(MODEL_PREFIX) if self.model.startswith(MODEL_PREFIX) else ""

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


def read_request(data: Any) -> ChatCompletionRequest:
    """The request in a decoded body. Raises InvalidInput, which names the place, or ``unsupported`` (400)."""
    if not isinstance(data, Mapping):
        raise InvalidInput({BODY: [_("Send a JSON object.")]})
    _refuse_unsupported(data)
    try:
        return msgspec.convert(data, ChatCompletionRequest)
    except msgspec.ValidationError as error:
        what, _at, place = str(error).partition(" - at `")
        raise InvalidInput({_param(place): [f"{what}."]}) from None


def _param(place: str) -> str:
    """msgspec's ``$.messages[0].role`` as OpenAI names it."""
    return re.sub(r"^(key` in `)?\$\.?|`$", "", place) or BODY


# --- what cannot be done


class Unsupported(InvalidInput):
    """A part of OpenAI's protocol that a persona does not have."""

    def __init__(self, param: str, sentence: str) -> None:
        super().__init__({param: [sentence]})
        self.code = "unsupported_parameter"


_NO_TOOLS = gettext_lazy("Personas call no tools.")
_ONLY_TEXT = gettext_lazy("Personas read and write text only.")
_UNSUPPORTED: Mapping[str, tuple[Callable[[Any], bool], Any]] = {
    "tools": (lambda value: value == [], _NO_TOOLS),
    "functions": (lambda value: value == [], _NO_TOOLS),
    "tool_choice": (lambda value: value in ("none", "auto"), _NO_TOOLS),
    "function_call": (lambda value: value in ("none", "auto"), _NO_TOOLS),
    "n": (lambda value: value == 1, gettext_lazy("There is one reply to a question: n is 1.")),
    "stop": (lambda value: value == [], gettext_lazy("A reply ends where the persona ends it.")),
    "logprobs": (lambda value: value is False, gettext_lazy("Probabilities of tokens are not known.")),
    "top_logprobs": (lambda value: value == 0, gettext_lazy("Probabilities of tokens are not known.")),
    "logit_bias": (lambda value: value == {}, gettext_lazy("Tokens cannot be weighed: which model answers is open.")),
    "modalities": (lambda value: value == ["text"], _ONLY_TEXT),
    "audio": (lambda value: False, _ONLY_TEXT),
    "prediction": (lambda value: False, gettext_lazy("Predictions are not used.")),
    "web_search_options": (lambda value: False, gettext_lazy("Personas do not search the web.")),
    "response_format": (
        lambda value: isinstance(value, Mapping) and value.get("type", "text") == "text",
        gettext_lazy("Replies are text; other formats cannot be promised."),
    ),
}
_OF_MESSAGES = {"tool_calls": _NO_TOOLS, "function_call": _NO_TOOLS, "audio": _ONLY_TEXT, "refusal": None}


def _refuse_unsupported(data: Mapping[str, Any]) -> None:
    for name, (is_harmless, sentence) in _UNSUPPORTED.items():
        if data.get(name) is not None and not is_harmless(data[name]):
            raise Unsupported(name, str(sentence))
    messages = data.get("messages")
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, Mapping):
            _refuse_unsupported_message(f"messages[{place}]", message)


def _refuse_unsupported_message(param: str, message: Mapping[str, Any]) -> None:
    if message.get("role") in ("tool", "function"):
        raise Unsupported(f"{param}.role", str(_NO_TOOLS))
    for name, sentence in _OF_MESSAGES.items():
        if sentence is not None and message.get(name):
            raise Unsupported(f"{param}.{name}", str(sentence))
    content = message.get("content")
    for place, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, Mapping) and isinstance(part.get("type"), str) and part["type"] != "text":
            raise Unsupported(f"{param}.content[{place}].type", str(_ONLY_TEXT))


# --- what is asked


def asking_of(request: ChatCompletionRequest) -> Asking:
    """The question, the history before it and the rest. Raises InvalidInput, and ``context_length_exceeded`` (400) for
    more than is read of anybody."""
    if sum(len(message.text) for message in request.messages) > MAX_CHARACTERS:
        raise _too_long(MAX_CHARACTERS)
    turns = _turns(request.messages)
    if not turns or turns[-1].role != "user":
        raise InvalidInput({"messages": [_("The last message must be the user's, with some text.")]})
    *history, question = turns
    if len(question.text) > MAX_TEXT:
        raise _too_long(MAX_TEXT)
    bounds = [most for most in (request.max_tokens, request.max_completion_tokens) if most is not None]
    return Asking(
        question=question.text,
        history=history,
        instructions="\n\n".join(m.text for m in request.messages if m.role in ("system", "developer") and m.text),
        max_tokens=min(bounds, default=None),
        metadata=request.metadata or {},
        store=bool(request.store),
    )


def _turns(messages: list[ChatMessage]) -> list[Turn]:
    """Questions and replies in turn: what one side said in a row is one message, what is empty none."""
    turns: list[Turn] = []
    for message in messages:
        if message.role not in ("user", "assistant") or not message.text.strip():
            continue
        if turns and turns[-1].role == message.role:
            turns[-1] = Turn(message.role, f"{turns[-1].text}\n\n{message.text}")
        else:
            turns.append(Turn(message.role, message.text))
    return turns


def _too_long(most: int) -> ApplicationError:
    error = InvalidInput({"messages": [_("This is too long: at most %(most)d characters are read.") % {"most": most}]})
    error.code = "context_length_exceeded"
    return error
