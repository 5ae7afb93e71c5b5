"""What Ollama can do beyond the OpenAI protocol: fetch a model."""

from collections.abc import AsyncIterator

import aiohttp
import msgspec

from .errors import LLMCut, LLMError, LLMMalformed, LLMRefused, LLMUnavailable, error_from_status
from .providers import Provider
from .transport import make_session

LINE_LIMIT = 64 * 1024


class PullProgress(msgspec.Struct, frozen=True):
    """One report of a pull: what is being done, and of which bytes how many are there (0 of 0 where it is no
    download).
    """

    status: str = ""
    total: int = 0
    completed: int = 0
    error: str = ""


_decode = msgspec.json.Decoder(PullProgress).decode


async def pull_model(provider: Provider, name: str, *, idle: float = 60.0) -> AsyncIterator[PullProgress]:
    """Have Ollama fetch ``name``; its reports as they come, the last with status ``success``. Raises ``LLMError``.

    ``idle`` bounds the seconds between two reports.
    """
    url = provider.base_url.removesuffix("/v1") + "/api/pull"
    timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=idle)
    status = ""
    try:
        async with (
            make_session(1) as session,
            session.post(
                url,
                json={"model": name, "name": name, "stream": True},
                headers={"Accept-Encoding": "identity"},
                allow_redirects=False,
                timeout=timeout,
            ) as response,
        ):
            if response.status != 200:
                raise error_from_status(provider.name, response.status, None)
            while line := await response.content.readline(max_line_length=LINE_LIMIT):
                progress = _report(provider, line)
                status = progress.status
                yield progress
    except LLMError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise LLMUnavailable(f"{provider.name} cannot be reached or broke off.") from error
    if status != "success":
        raise LLMCut(f"{provider.name} broke off before the model was complete.")


def _report(provider: Provider, line: bytes) -> PullProgress:
    try:
        progress = _decode(line)
    except ValueError:
        raise LLMMalformed(f"{provider.name} sent something that is not a report of a pull.") from None
    if progress.error:
        raise LLMRefused(f"{provider.name} cannot pull this model: {progress.error[:200]}")
    return progress
