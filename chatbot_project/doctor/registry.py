"""What a check is, and what it finds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what was found and, where something is amiss, one line of how to mend it. ``part`` tells several
    findings of one check apart, such as the providers of models."""

    status: Status
    found: str
    fix: str = ""
    part: str = ""


Findings = Finding | Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Request:
    """What a check may know of the run: how many seconds it has, and whom to send a mail to ("" for nobody)."""

    seconds: float
    send_mail: str = ""


Examine = Callable[[Request], Awaitable[Findings]]


@dataclass(frozen=True, slots=True)
class Check:
    """``needs`` names the checks without whose success this one can say nothing."""

    name: str
    title: str
    examine: Examine
    needs: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}


def check(name: str, title: str, *, needs: tuple[str, ...] = ()) -> Callable[[Examine], Examine]:
    """Register a coroutine function as the check ``name``. It raises nothing for what it can explain."""

    def register(examine: Examine) -> Examine:
        CHECKS[name] = Check(name, title, examine, needs)
        return examine

    return register


def ok(found: str, *, part: str = "") -> Finding:
    return Finding("ok", found, "", part)


def warning(found: str, fix: str, *, part: str = "") -> Finding:
    return Finding("warning", found, fix, part)


def failed(found: str, fix: str, *, part: str = "") -> Finding:
    return Finding("failed", found, fix, part)


def skipped(found: str, *, part: str = "") -> Finding:
    return Finding("skipped", found, "", part)
