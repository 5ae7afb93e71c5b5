"""Everything that can go wrong between us and a model.

::

    ApplicationError
      LLMError                 llm_error
        LLMTimeout             llm_timeout        a deadline passed: connect, first token, idle, total
        LLMRateLimited         llm_rate_limited   429; ``retry_after`` in seconds where the model said so
        LLMUnavailable         llm_unavailable    no connection, 5xx, overloaded, the breaker is open
          LLMCut               llm_cut            the stream ended before it was finished
        LLMRefused             llm_refused        the model will not answer this: content, sign-in, any other 4xx
        LLMMalformed           llm_malformed      the answer is not what the protocol says
          LLMTooLarge          llm_too_large      a line or the reply is larger than its bound

The details name the model, never a key, a prompt or the text of an answer.
"""

from typing import ClassVar

from chatbot_project.lib.errors import ApplicationError


class LLMError(ApplicationError):
    """A model did not answer as it should.

    ``retryable``: the same request may succeed on another try. ``counts``: it says something about the health of the
    provider, so that the circuit breaker counts it.
    """

    code_name: ClassVar[str] = "llm_error"
    http_status: ClassVar[int] = 502
    retryable: ClassVar[bool] = False
    counts: ClassVar[bool] = True

    def __init__(self, detail: str) -> None:
        super().__init__(self.code_name, detail, self.http_status)


class LLMTimeout(LLMError):
    """A deadline passed."""

    code_name = "llm_timeout"
    http_status = 504
    retryable = True


class LLMRateLimited(LLMError):
    """The provider asks for fewer requests. ``retry_after`` is in seconds, ``None`` where it was not said."""

    code_name = "llm_rate_limited"
    http_status = 503
    retryable = True

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LLMUnavailable(LLMError):
    """Nobody answers there, or only with an error of its own. ``retry_after`` as in ``LLMRateLimited``."""

    code_name = "llm_unavailable"
    http_status = 503
    retryable = True

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LLMCut(LLMUnavailable):
    """The stream ended without a finish reason: what arrived is a part, never the whole."""

    code_name = "llm_cut"


class LLMRefused(LLMError):
    """The provider understood and said no; asking the same again changes nothing."""

    code_name = "llm_refused"
    counts = False


class LLMMalformed(LLMError):
    """The answer does not follow the protocol."""

    code_name = "llm_malformed"
    retryable = True


class LLMTooLarge(LLMMalformed):
    """A line or a reply passed its bound and was not read further."""

    code_name = "llm_too_large"
    retryable = False
