"""The machine under it: clocks, disk, time zones."""

import asyncio
import errno
import os
import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
from django.conf import settings
from django.db import connection

from accounts.audit.checkpoints import default_file
from chatbot_project.doctor.redis import redis_client
from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok, skipped, warning
from chatbot_project.doctor.running import in_database
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.transport import make_session

SMALL_SKEW, LARGE_SKEW = 2.0, 30.0  # seconds; codes of an authenticator app change every thirty
SCARCE, NO_BYTES = 2e9, 2e8
SCARCE_SHARE = 0.05
DESCRIPTORS = 8192  # of which 4,000 are sockets, as deploy/k8s gives a web process
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


@check("descriptors", "There are descriptors enough for sockets")
async def examine_descriptors(request: Request) -> Findings:
    """How many a process of ours may have, which it takes by itself, as far as others are started as this one is."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS:
        mend = "Raise it where processes are started: systemd's LimitNOFILE=, Compose's ulimits, limits.conf."
        return warning(f"A process may open {hard:,}, of which each socket takes one.", mend)
    return ok(f"A process may open {hard:,}.")


@check("disk", "There is room on the disk")
async def examine_disk(request: Request) -> Findings:
    """Of each folder that is written to whether it can be, and of each disk that such are on what is free there."""
    findings: list[Finding] = []
    disks: dict[int, dict[str, Path]] = {}
    for name, folder in written_folders().items():
        place = next(each for each in (folder, *folder.parents) if each.exists())
        if refused := _refused(name, place):
            findings.append(refused)
        else:
            disks.setdefault(os.stat(place).st_dev, {})[name] = place
    return findings + [_room(places) for places in disks.values()]


def written_folders() -> dict[str, Path]:
    """What processes write to, by the setting that says where it is; some is made at its first use."""
    found = {"ERASURE_LOG": Path(settings.ERASURE_LOG).parent, "VAR_DIR/audit": default_file().parent}
    if settings.BACKUP_HOURS or Path(settings.BACKUP_DIR).exists():
        found["BACKUP_DIR"] = Path(settings.BACKUP_DIR)
    if settings.IS_LOCAL:  # embedded parts, the key and logs
        found["VAR_DIR"] = Path(settings.VAR_DIR)
    return found


def _refused(name: str, place: Path) -> Finding | None:
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        if name == "BACKUP_DIR" and error.errno == errno.EROFS:  # on Kubernetes the CronJob alone has it
            return skipped(f"{place} is read-only here: what makes backups has a disk of its own there.", part=name)
        return failed(
            f"{place} cannot be written to ({error.strerror}).",
            f"chown or chmod it for the user that runs Nono, mount a volume there, or set {name.partition('/')[0]}.",
            part=name,
        )
    return None


def _room(places: dict[str, Path]) -> Finding:
    """On the disk that all of ``places`` are on."""
    part, place = next(iter(places.items()))
    usage, nodes = shutil.disk_usage(place), os.statvfs(place)
    said = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free for {', '.join(places)}"
    mend = "Make room, or give that disk more: logs and old backups are the first to look at."
    if usage.free < NO_BYTES:
        return failed(said, mend, part=part)
    if usage.free < SCARCE or usage.free < SCARCE_SHARE * usage.total:
        return warning(said, mend, part=part)
    if nodes.f_files and nodes.f_favail < SCARCE_SHARE * nodes.f_files:
        return warning(f"{said}, but few files can be made there any more.", mend, part=part)
    return ok(said, part=part)


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
