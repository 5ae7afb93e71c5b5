"""PostgreSQL's own pg_dump and pg_restore: found in PATH or in the embedded PostgreSQL's wheel, and run."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from chatbot_project.backup.databases import parameters
from chatbot_project.backup.errors import BackupError
from chatbot_project.embedded.postgres import binary_dir
from chatbot_project.embedded.processes import EmbeddedError, die_with_parent

# From this version on pg_restore first sets ``transaction_timeout``, which older servers do not know.
_SETS_TIMEOUT = 17
_NO_SUCH_SETTING = 'unrecognized configuration parameter "transaction_timeout"'
_TOLD = 5  # lines of what a tool complained of


@dataclass(frozen=True, slots=True)
class Tools:
    """One installation's programs, of one major version."""

    major: int
    folder: Path

    def run(self, program: str, *arguments: str, database: str) -> None:
        """Run it on ``database`` of the configured server. It ends with this process. Raises BackupError with what it
        said, but for the lines that may hold rows."""
        values = parameters(database)
        environment = {"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": values.pop("password", "")}
        command = [str(self.folder / program), "--no-password", f"--dbname={make_conninfo(**values)}", *arguments]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False, umask=0o077, preexec_fn=die_with_parent(signal.SIGTERM),
            restore_signals=False,  # a limit on the size of files is an error that it tells of, not its sudden end
        )  # fmt: skip
        if done.returncode != 0 and not _came_through(done.stderr):
            said = _complaint(program, done.stderr) or f"exit code {done.returncode}"
            hint = " A migration is at work: try again after it." if "statement timeout" in said else ""
            raise BackupError(f"{program} failed: {said}{hint}")

    def restore(self, dump: Path, *options: str, database: str, server: int) -> None:
        """Put ``dump`` into ``database``, on a server of that major version. Raises BackupError where anything of it
        does not come back: at once, or at the end where the server does not know a setting of pg_restore's."""
        strict = [] if server < _SETS_TIMEOUT <= self.major else ["--exit-on-error"]
        self.run("pg_restore", *strict, *options, str(dump), database=database)


def tools_for(server: int, *, dumped_with: int = 0) -> Tools:
    """Those of the lowest version that is not below the server's, nor below that of what made the dump; a server's own
    fit best. Raises BackupError where there are none."""
    least = max(server, dumped_with)
    found = [tools for tools in _installed() if tools.major >= least]
    if not found:
        there = ", ".join(f"{tools.major} ({tools.folder})" for tools in _installed()) or "none"
        raise BackupError(
            f"The server is PostgreSQL {server}; its tools pg_dump and pg_restore are needed in version {least} "
            f"or newer, and there are: {there}. Install them into PATH (Debian: postgresql-client-{least})."
        )
    return min(found, key=lambda tools: tools.major)


def _installed() -> list[Tools]:
    folders = [Path(found).parent] if (found := shutil.which("pg_dump")) else []
    with suppress(EmbeddedError):  # no wheel for this platform: PATH has them, or the caller says that nothing does
        folders.append(binary_dir())
    tools = [Tools(major, folder) for folder in folders if (major := _major(folder / "pg_dump"))]
    return [each for each in tools if (each.folder / "pg_restore").exists()]


def _major(program: Path) -> int:
    """Its major version; 0 for what does not tell."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else 0


def _came_through(said: str) -> bool:
    """Whether pg_restore went to its end, and nothing was amiss but that the server has no such setting."""
    errors = [line for line in said.splitlines() if line.startswith("pg_restore: error:")]
    counted = f"pg_restore: warning: errors ignored on restore: {len(errors)}" in said.splitlines()
    return counted and all(_NO_SUCH_SETTING in line for line in errors)


def _complaint(program: str, said: str) -> str:
    lines = [line.removeprefix(f"{program}: ").strip() for line in said.splitlines() if line.startswith(f"{program}: ")]
    errors = [line for line in lines if "error:" in line and _NO_SUCH_SETTING not in line] or lines
    return "; ".join(errors[:_TOLD])
