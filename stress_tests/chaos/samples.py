"""What a running stack takes up at one moment: memory, descriptors, threads, connections, tables, logs."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from chatbot_project.embedded.paths import VarPaths, default_database_url

from ..bench_cpu import rss_bytes
from .stack import ChaosStack

TABLES = """
    SELECT relname, pg_total_relation_size(oid)::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 5
"""

Sample = Mapping[str, float]


def take_sample(stack: ChaosStack) -> dict[str, float]:
    """Named ``what/of``: ``rss/web0`` in bytes, ``fds/web0``, ``threads/web0``, ``connections/postgres``,
    ``memory/redis``, ``table/…`` and ``log/…`` in bytes; ``at`` is ``time.monotonic``. Blocks for some milliseconds.
    """
    found: dict[str, float] = {"at": time.monotonic()}
    for name, pid in stack.pids.items():
        found[f"rss/{name}"] = rss_bytes(pid)
        found[f"fds/{name}"] = len(os.listdir(f"/proc/{pid}/fd"))
        found[f"threads/{name}"] = len(os.listdir(f"/proc/{pid}/task"))
    with psycopg.connect(default_database_url(stack.directory), autocommit=True) as own:
        row = own.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'nono'").fetchone()
        found["connections/postgres"] = row[0] - 1 if row else 0
        for table, size in own.execute(TABLES).fetchall():
            found[f"table/{table}"] = size
    said = _redis_info(VarPaths(stack.directory).redis_socket)
    found["connections/redis"] = float(said["connected_clients"]) - 1
    found["memory/redis"] = float(said["used_memory"])
    for log in (*stack.directory.glob("*.log"), *VarPaths(stack.directory).logs.glob("*.log")):
        found[f"log/{log.stem}"] = log.stat().st_size
    return found


def _redis_info(path: Path) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"INFO\r\n")
        with connection.makefile("rb") as answer:
            size = int(answer.readline()[1:])
            text = answer.read(size).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
