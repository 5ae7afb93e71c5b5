"""Runs checks side by side. None takes longer than its seconds, whatever it waits for, and none breaks the others."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from chatbot_project.doctor.registry import Check, Finding, Findings, Request, failed, skipped
from chatbot_project.lib.db import ending_within

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Examined:
    """A check that was made: at least one finding, and the seconds it took."""

    check: Check
    findings: tuple[Finding, ...]
    seconds: float


async def examine(checks: Sequence[Check], request: Request) -> list[Examined]:
    """All of ``checks``, in their order. One that needs another waits for it, and is skipped where that failed."""
    tasks: dict[str, asyncio.Task[Examined]] = {}
    # Those that are needed come first in the registry, so that their tasks are there.
    for each in checks:
        tasks[each.name] = asyncio.create_task(_examined(each, [tasks[n] for n in each.needs if n in tasks], request))
    return list(await asyncio.gather(*tasks.values()))


async def _examined(check: Check, needed: list[asyncio.Task[Examined]], request: Request) -> Examined:
    for other in await asyncio.gather(*needed):
        if any(finding.status == "failed" for finding in other.findings):
            return Examined(check, (skipped(f"Cannot be told while “{other.check.name}” fails."),), 0.0)
    began = perf_counter()
    findings = await _within(check, request)
    told = (findings,) if isinstance(findings, Finding) else tuple(findings)
    return Examined(check, told or (skipped("There is nothing to look at."),), perf_counter() - began)


async def _within(check: Check, request: Request) -> Findings:
    try:
        async with asyncio.timeout(request.seconds):
            return await check.examine(request)
    except TimeoutError:
        return failed(
            f"No answer within {request.seconds:g} s.",
            "See whether that part hangs or is overloaded; --timeout gives it longer.",
        )
    except Exception as error:  # the edge of one check: the others still have something to say
        return failed(f"{type(error).__name__}: {one_line(error)}", "See that part's log; the check names the part.")


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """``work(*arguments)`` in a thread that nobody waits for at the end: what hangs keeps no process alive."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # the result where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = work(*arguments)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has ended: too late
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True, name=f"doctor-{work.__name__}").start()
    return await answer


async def in_database(work: Callable[..., T], *arguments: Any, seconds: float) -> T:
    """``work`` as one transaction on a connection of its own, whose every statement ends within ``seconds``."""

    def unit() -> T:
        with ending_within(seconds):
            return work(*arguments)

    return await in_thread(unit)


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
