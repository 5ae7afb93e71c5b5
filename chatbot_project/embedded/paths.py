"""Where the embedded parts keep their files. Pure: nothing here touches the disk.

settings.py and every process that starts or looks for an embedded part derive the same place from VAR_DIR alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

# A unix socket's path is limited to 103 bytes on macOS and 107 on Linux; PostgreSQL adds its own file name.
MAX_SOCKET_PATH = 100
POSTGRES_SOCKET_NAME = ".s.PGSQL.5432"
SYSTEM_TEMP = Path("/tmp")  # noqa: S108 - not $TMPDIR: two shells that differ in it must find the same socket


@dataclass(frozen=True)
class VarPaths:
    """The layout below one VAR_DIR, an absolute path."""

    var_dir: Path

    @property
    def postgres_data(self) -> Path:
        return self.var_dir / "postgres"

    @property
    def redis_data(self) -> Path:
        return self.var_dir / "redis"

    @property
    def logs(self) -> Path:
        return self.var_dir / "log"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @property
    def state(self) -> Path:
        """Directory of the locks and of what a running supervisor tells the others."""
        return self.var_dir / "run"

    @property
    def start_lock(self) -> Path:
        """Held while embedded services are being started or stopped."""
        return self.state / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Held shared by every process that uses the embedded services."""
        return self.state / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one `runlocal` of this VAR_DIR."""
        return self.state / "supervisor.lock"

    @property
    def supervisor_state(self) -> Path:
        """JSON object: what a running `runlocal` has started (`pid`, `address`, `local_llm_url`)."""
        return self.state / "supervisor.json"

    @property
    def secret_key(self) -> Path:
        return self.var_dir / "secret_key"

    @property
    def admin_password(self) -> Path:
        return self.var_dir / "admin_password"

    @property
    def static(self) -> Path:
        """Where collectstatic writes; the static file server warns if it is missing."""
        return self.var_dir / "static"

    @property
    def beat_schedule(self) -> Path:
        return self.var_dir / "celerybeat-schedule"

    @property
    def sockets(self) -> Path:
        """Directory of the unix sockets: below VAR_DIR, or where that is too long a short one named by its hash."""
        below = self.state
        longest = below / "postgres" / POSTGRES_SOCKET_NAME
        if len(str(longest).encode()) <= MAX_SOCKET_PATH:
            return below
        digest = hashlib.sha256(str(self.var_dir).encode()).hexdigest()[:16]
        return SYSTEM_TEMP / f"nono-{digest}"

    @property
    def postgres_socket_dir(self) -> Path:
        return self.sockets / "postgres"

    @property
    def postgres_socket(self) -> Path:
        return self.postgres_socket_dir / POSTGRES_SOCKET_NAME

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"


def default_database_url(var_dir: Path) -> str:
    """The embedded PostgreSQL's URL for an absolute `var_dir`."""
    return f"postgresql://nono@/nono?host={VarPaths(var_dir).postgres_socket_dir}"


def default_redis_url(var_dir: Path) -> str:
    """The embedded Redis' URL for an absolute `var_dir`, as redis-py and channels-redis take it."""
    return f"unix://{VarPaths(var_dir).redis_socket}?db=0"


def celery_broker_url(redis_url: str) -> str:
    """`redis_url` as kombu takes it: unix sockets have their own scheme there, and name the database differently."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    database = dict(part.partition("=")[::2] for part in query.split("&") if part).get("db", "0")
    return f"redis+socket://{path}?virtual_host={database}"
