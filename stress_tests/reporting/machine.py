"""The machine a report was made on: what a figure means nothing without."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bench_cpu import Usage, others_percent

ROOT = Path(__file__).resolve().parent.parent.parent
Machine = Mapping[str, Any]
QUIET_PERCENT = 5.0  # of the processors: where others used so much or more, it was no quiet machine


def describe_machine() -> dict[str, Any]:
    """Before a run: processors, memory, Python, the commit (``+`` where files differ from it), the moment, the load
    until then; ``began`` is for ``at_end``."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor_name": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gib": round(int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "began": Usage.now(),
    }


def at_end(machine: Machine) -> dict[str, Any]:
    """``machine`` after a run, all of whose processes have ended or live still: with ``others_percent``, what others
    used of the processors since it was described. What says so already, or not when it began, stays as it is."""
    described = dict(machine)
    if (began := described.pop("began", None)) is not None:
        used = others_percent(began, Usage.now(), described["processors"])
        described["others_percent"] = round(used, 1)
    return described


def machine_line(machine: Machine) -> str:
    """It in a line. What others used tells whether they disturbed; the load before may be an earlier run's."""
    load = ", ".join(f"{load:g}" for load in machine.get("load_before", ()))
    beside = f"load before: {load}"
    if (others := machine.get("others_percent")) is not None:
        beside += f"; others used {others:g} % of the processors"
        beside += ": NOT A QUIET MACHINE" if others >= QUIET_PERCENT else ""
    return (
        f"{machine['processors']} processors ({machine['processor_name']}), {machine.get('memory_gib', '?')} GiB, "
        f"Python {machine['python']}, commit {machine['commit']}, {machine.get('date', '')}; {beside}"
    )


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit}+" if git("status", "--porcelain", "--untracked-files=no") else commit
