"""A reply's events as OpenAI's protocol needs them: text that is never taken back, and how it ended. No I/O."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.token_budget import TokenBudgetSpent
from conversations.events import CitationInfo, OfferInfo, Time, UsageInfo


class Said(msgspec.Struct):
    """What counts here of an event of a reply (conversations/events.py)."""

    type: str
    seq: int
    text: str = ""
    usage: UsageInfo | None = None
    source: Literal["", "model", "faq", "faq_offline", "unknown"] = ""
    citations: list[CitationInfo] = []
    offers: list[OfferInfo] = []
    finish_reason: str = ""
    code: str = ""
    cached_at: Time | None = None


read_said = msgspec.json.Decoder(Said).decode
_WHOLE = frozenset({"reply.snapshot", "reply.completed", "reply.stopped", "reply.interrupted", "reply.failed"})


class ReplyChanged(ApplicationError):
    """The reply has begun anew in other words, after some of the old ones went out."""

    def __init__(self) -> None:
        super().__init__("reply_changed", _("The service restarted, and the reply with it. Ask again."), status=503)


class Told:
    """The text that went out of one reply."""

    def __init__(self) -> None:
        self.text = ""  # what went out
        self._known = ""  # what the reply says

    def more(self, said: Said) -> str:
        """The text that ``said`` adds to what went out; empty for none.

        A reply that begins anew says nothing until it is past what went out. Raises ReplyChanged where it then is
        another.
        """
        if said.type == "reply.delta":
            if said.seq - len(said.text) != len(self._known):
                raise ReplyChanged
            self._known += said.text
        elif said.type == "reply.started":
            self._known = ""
        elif said.type in _WHOLE:
            self._known = said.text
        if len(self._known) <= len(self.text):
            return ""
        if not self._known.startswith(self.text):
            raise ReplyChanged
        more = self._known[len(self.text) :]
        self.text = self._known
        return more

    @property
    def is_whole(self) -> bool:
        """Whether exactly what the reply says went out."""
        return self.text == self._known


_FAILURES: Mapping[str, tuple[int, object]] = {
    "llm_timeout": (504, gettext_lazy("The model took too long to answer.")),
    "llm_rate_limited": (503, gettext_lazy("The model has too much to do just now. Try again in a moment.")),
    "llm_unavailable": (503, gettext_lazy("The model cannot be reached just now. Try again in a moment.")),
    "llm_refused": (502, gettext_lazy("The model declined to answer this. Try it in other words.")),
    "llm_malformed": (502, gettext_lazy("The model sent something that is no answer. Try again.")),
    "llm_cut": (502, gettext_lazy("The model broke off before it was done. Try again.")),
    "llm_too_large": (
        502,
        gettext_lazy("The model sent more than this service takes in. Ask for something shorter."),
    ),
    "content_blocked": (400, gettext_lazy("This breaks a rule of this service and is not answered.")),
    "content_withdrawn": (400, gettext_lazy("The reply broke a rule of this service and was withdrawn.")),
    "moderation_unavailable": (503, gettext_lazy("Texts cannot be checked just now. Try again in a minute.")),
    "unavailable": (503, gettext_lazy("A part of the service is away. Try again in a minute.")),
    "worker_lost": (503, gettext_lazy("The service restarted before the reply was done. Try again.")),
    "internal_error": (500, gettext_lazy("Something went wrong on our side. It has been noted. Try again.")),
}


def refusal_of(said: Said) -> ApplicationError | None:
    """Why a reply that ended so is no completion; None for one that was completed."""
    if said.type == "reply.completed":
        return None
    if said.type == "reply.stopped":
        return ApplicationError("stopped", _("The reply was stopped before it was done."), status=409)
    if said.code == "token_budget_spent":
        return TokenBudgetSpent(datetime.now(UTC))
    status, sentence = _FAILURES.get(said.code, (502, gettext_lazy("No reply could be made.")))
    return ApplicationError(said.code or "failed", str(sentence), status=status)
