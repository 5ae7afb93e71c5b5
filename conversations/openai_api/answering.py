"""One completion from its question to its last byte, in the event loop: what is asked, heard and told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from accounts.credentials import Credential
from accounts.models import User
from chatbot_project.lib.api.late import LONGEST_WAIT, told_error
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations.busy import Busy
from conversations.completions import Asking, Key, ask_whole
from conversations.hub import running_hub
from conversations.listening import listen
from conversations.models import Message
from conversations.openai_api.answers import Completion, event
from conversations.openai_api.errors import ModelNotFound, NotCompleted, error_body
from conversations.openai_api.reading import ReplyChanged, Said, Told, read_said, refusal_of
from conversations.openai_api.requests import ChatCompletionRequest
from conversations.services import Accepted, request_stop

KEEP_ALIVE_SECONDS = 10.0  # also how long a stream waits for its first text: until then errors have a status
GRACE_SECONDS = 60.0  # beyond what a model may take: for a place in the queue


class Answering:
    """``answer()`` gives the response. Where nobody can ever read the reply any more, it is stopped: when its reader
    has left before the end, it is in no list and no key asks for it again."""

    def __init__(
        self,
        user: User,
        credential: Credential,
        wanted: ChatCompletionRequest,
        asking: Asking,
        key: Key | None,
        give_back: Callable[[], None],
    ) -> None:
        self._user, self._credential = user, credential
        self._wanted, self._asking, self._key = wanted, asking, key
        self._give_back = give_back  # the question to the budget it was taken from, where it is turned away
        self._told = Told()
        self._ending: Said | None = None

    async def answer(self) -> HttpResponseBase:
        """Raises ApplicationError where the question was refused, or its reply broke off before any of it was sent."""
        reply = await self._ask()
        self._completion = Completion(reply, self._wanted.model, with_usage=self._wanted.wants_usage)
        self._heard_by = listen(reply, user=self._user, credential=self._credential, idle=KEEP_ALIVE_SECONDS)
        request = asyncio.current_task()
        assert request is not None
        # Not in a ``finally`` of the stream: one that is never begun, as its reader has left, has none.
        request.add_done_callback(lambda _request: running_hub().run(self._leave(reply)))
        try:
            return await (self._streamed() if self._wanted.stream else self._whole())
        except ApplicationError as error:
            raise NotCompleted(error, self._completion.origin) from error

    async def _ask(self) -> Message:
        """The reply that is queued, or was under the same key. One that is stored after its reader has left is
        stopped."""
        storing = asyncio.ensure_future(
            run_db(
                ask_whole,
                user=self._user,
                persona_slug=self._wanted.persona_slug,
                asking=self._asking,
                key=self._key,
            )
        )
        try:
            return (await asyncio.shield(storing)).reply
        except asyncio.CancelledError:
            running_hub().run(self._leave_stored(storing))
            raise
        except Busy:
            await run_db(self._give_back)
            raise
        except NotFound:
            raise ModelNotFound(self._wanted.model) from None

    # --- whole

    async def _whole(self) -> HttpResponse:
        try:
            async with asyncio.timeout(min(settings.LLM_TOTAL_SECONDS + GRACE_SECONDS, LONGEST_WAIT)):
                async for heard in self._heard_by:
                    if heard is not None and heard.heading.is_ending:
                        self._ending = read_said(heard.frame)
        except TimeoutError:
            raise ApplicationError("timeout", _("The reply took too long."), status=504) from None
        assert self._ending is not None  # only an ending ends what is heard
        if refusal := refusal_of(self._ending):
            raise refusal
        return HttpResponse(self._completion.whole(self._ending), content_type="application/json")

    # --- in chunks

    async def _streamed(self) -> StreamingHttpResponse:
        """The stream, once it has something to say or that takes long. Raises what ended the reply before that."""
        begun = asyncio.get_running_loop().time()
        more = ""
        async for heard in self._heard_by:
            more = self._more(heard.frame, is_ending=heard.heading.is_ending) if heard is not None else ""
            if more or self._ending or asyncio.get_running_loop().time() - begun >= KEEP_ALIVE_SECONDS:
                break
        if self._ending and not more and (refusal := refusal_of(self._ending)):
            raise refusal
        response = StreamingHttpResponse(self._chunks(more), content_type="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response

    async def _chunks(self, more: str) -> AsyncIterator[bytes]:
        try:
            yield self._completion.beginning()
            if more:
                yield self._completion.piece(more)
            if self._ending is None:
                async for heard in self._heard_by:
                    if heard is None:
                        yield b": still here\n\n"
                    elif more := self._more(heard.frame, is_ending=heard.heading.is_ending):
                        yield self._completion.piece(more)
            yield self._end()
        except Exception as error:
            # The status is out: an error is told within the stream, which then ends without its mark.
            yield event(error_body(NotCompleted(told_error(error), self._completion.origin)))

    def _more(self, frame: bytes, *, is_ending: bool) -> str:
        said = read_said(frame)
        if is_ending:
            self._ending = said
        return self._told.more(said)

    def _end(self) -> bytes:
        assert self._ending is not None
        if refusal := refusal_of(self._ending):
            raise refusal
        if not self._told.is_whole:
            raise ReplyChanged
        return self._completion.end(self._ending)

    # --- leaving

    async def _leave(self, reply: Message) -> None:
        await self._heard_by.aclose()
        if self._ending is None:
            await self._abandon(reply)

    async def _leave_stored(self, storing: "asyncio.Future[Accepted]") -> None:
        with suppress(ApplicationError):
            await self._abandon((await storing).reply)

    async def _abandon(self, reply: Message) -> None:
        if self._key is None and not self._asking.store:
            with suppress(NotFound):
                await run_db(request_stop, user=self._user, reply_id=reply.pk)
