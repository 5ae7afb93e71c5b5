"""The machine under it: clocks, disk, time zones."""

import asyncio
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

import aiohttp
from django.conf import settings
from django.db import connection

from chatbot_project.doctor.redis import redis_client
from chatbot_project.doctor.registry import Findings, Request, check, failed, ok, warning
from chatbot_project.doctor.running import in_database
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.transport import make_session

SMALL_SKEW, LARGE_SKEW = 2.0, 30.0  # seconds; codes of an authenticator app change every thirty
SCARCE, NO_BYTES = 2e9, 2e8
SCARCE_SHARE = 0.05
_CLOCK_FIX = "Keep all machines' clocks by NTP (timedatectl set-ntp true); in a virtual machine see its host's."


@check("clock", "Clocks agree", needs=("database", "redis"))
async def examine_clock(request: Request) -> Findings:
    """Against the database, Redis and whatever date the providers send, whose whole seconds are allowed for."""
    skews = {"database": await _database_skew(request.seconds), "Redis": await _redis_skew(request.seconds)}
    providers = list(settings.LLM_PROVIDERS.values())
    dated = await asyncio.gather(*(_provider_skew(provider) for provider in providers))
    skews |= {each.name: skew for each, skew in zip(providers, dated, strict=True) if skew is not None}
    said = ", ".join(f"{name} {skew:+.1f} s" for name, skew in skews.items())
    worst = max(abs(skew) for skew in skews.values())
    if worst > LARGE_SKEW:
        return failed(f"Clocks differ from this one: {said}", _CLOCK_FIX)
    if worst > SMALL_SKEW:
        return warning(f"Clocks differ from this one: {said}", _CLOCK_FIX)
    return ok(said)


async def _database_skew(seconds: float) -> float:
    def read() -> float:
        began = time.time()
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            (there,) = cursor.fetchone()
        return skew_of(there, began, time.time())

    return await in_database(read, seconds=seconds)


async def _redis_skew(seconds: float) -> float:
    async with redis_client(seconds) as client:
        await client.ping()
        began = time.time()
        whole, micro = await client.time()
    return skew_of(whole + micro / 1e6, began, time.time())


async def _provider_skew(provider: Provider) -> float | None:
    """By the Date of its answer, whatever else that says; no key is sent. ``None`` where there is none."""
    began = time.time()
    try:
        async with (
            make_session(1) as session,
            session.get(
                f"{provider.base_url}/models", allow_redirects=False, timeout=aiohttp.ClientTimeout(total=4)
            ) as answer,
        ):
            there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (aiohttp.ClientError, OSError, KeyError, ValueError):
        return None
    return skew_of(there, began, time.time(), step=1.0)


def skew_of(there: float, began: float, ended: float, *, step: float = 0.0) -> float:
    """How far ahead a clock is that told ``there``, in steps of ``step``, between the two; 0 where it may agree."""
    if there > ended:
        return there - ended
    return min(0.0, there + step - began)


@check("disk", "There is room on the disk")
async def examine_disk(request: Request) -> Findings:
    folder = settings.VAR_DIR
    if not folder.is_dir():
        return failed(f"{folder} is no folder.", "Make it, or set VAR_DIR to a folder that this user may write to.")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return failed(
            f"{folder} cannot be written to ({error.strerror}).",
            f"chown or chmod {folder} for the user that runs Nono.",
        )
    usage, nodes = shutil.disk_usage(folder), os.statvfs(folder)
    said = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free at {folder}"
    mend = "Make room, or give that disk more: logs, old backups and exports below VAR_DIR are the first to look at."
    if usage.free < NO_BYTES:
        return failed(said, mend)
    if usage.free < SCARCE or usage.free < SCARCE_SHARE * usage.total:
        return warning(said, mend)
    if nodes.f_files and nodes.f_favail < SCARCE_SHARE * nodes.f_files:
        return warning(f"{said}, but few files can be made there any more.", mend)
    return ok(said)


@check("time-zone", "Everybody means the same by a day", needs=("database",))
async def examine_time_zone(request: Request) -> Findings:
    name = settings.REPORT_TIME_ZONE
    zone = ZoneInfo(str(name))
    now = datetime.now(UTC)
    moments = [now + timedelta(days=30 * month) for month in range(12)]
    here = [moment.astimezone(zone).replace(tzinfo=None) for moment in moments]
    there = await in_database(_local_times, str(name), moments, seconds=request.seconds)
    if there is None:
        return failed(
            f"PostgreSQL does not know {name}.", "Install the time zones of its system (tzdata), and restart it."
        )
    if here != there:
        return warning(
            f"Python and PostgreSQL differ about {name} within a year.",
            "Update tzdata on both machines, and pip install -U tzdata.",
        )
    return ok(f"Days are counted in {name}, for which Python and PostgreSQL agree; stored times are UTC.")


def _local_times(name: str, moments: list[datetime]) -> list[datetime] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %s)", [name])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SELECT moment AT TIME ZONE %s FROM unnest(%s::timestamptz[]) moment", [name, moments])
        return [moment for (moment,) in cursor.fetchall()]
