"""PostgreSQL: does it answer, is it of the shape that the code expects, does it know vectors."""

from datetime import timedelta
from time import perf_counter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from accounts.audit.partitioning import EVENTS
from chatbot_project.doctor.endpoints import explained
from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok, warning
from chatbot_project.doctor.running import in_database, in_thread, one_line
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.postgres.partitions import PartitionedTable
from conversations.partitioning import MESSAGES, made_at
from faqs.embedding import EmbeddingError, embedder
from faqs.models import KnowledgeState

LEAST_VERSION = 14
BUSY = 0.8  # of all connections
HALFVEC_VERSION = (0, 7)
ROOM = timedelta(days=90)


@check("database", "PostgreSQL answers")
async def examine_database(request: Request) -> Findings:
    began = perf_counter()
    try:
        version, size, used, most = await in_database(_standing, seconds=request.seconds)
    except (DatabaseError, InterfaceError) as error:
        if not settings.DATABASE_URL:
            return failed("DATABASE_URL is not set.", "Set DATABASE_URL=postgresql://user:password@host/name")
        return failed(
            f"PostgreSQL cannot be used: {one_line(error)}",
            "See that it runs, and that DATABASE_URL names its host, user, password and database.",
        )
    took = (perf_counter() - began) * 1000
    said = f"PostgreSQL {version // 10000}, {size / 1e6:.0f} MB, {used} of {most} connections, {took:.0f} ms"
    if version // 10000 < LEAST_VERSION:
        return failed(said, f"Use PostgreSQL {LEAST_VERSION} or newer.")
    if used > BUSY * most:
        return warning(said, "Raise max_connections, lower DATABASE_THREADS, or put PgBouncer before it.")
    return ok(said)


def _standing() -> tuple[int, int, int, int]:
    version, size, used, most = _row(
        "SELECT current_setting('server_version_num')::int, pg_database_size(current_database()), "
        "(SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int"
    )
    return version, size, used, most


@check("migrations", "The tables are those of this version", needs=("database",))
async def examine_migrations(request: Request) -> Findings:
    missing, unknown = await in_database(_migrations, seconds=request.seconds)
    if missing:
        return failed(f"{len(missing)} migrations are not applied, the first {missing[0]}.", "Run: manage.py migrate")
    if unknown:
        return warning(
            f"The database has migrations that this version lacks, such as {unknown[0]}.",
            "Run the version that the database was last migrated with, or a newer one.",
        )
    return ok("All are applied.")


def _migrations() -> tuple[list[str], list[str]]:
    """Those the database lacks, and those it has of apps of ours that are not in the code."""
    loader = MigrationLoader(connection)
    applied, known = set(loader.applied_migrations), set(loader.disk_migrations)
    known |= {key for migration in loader.replacements.values() for key in migration.replaces}
    apps = {app for app, _name in loader.disk_migrations}
    missing, unknown = set(loader.graph.nodes) - applied, {key for key in applied - known if key[0] in apps}
    return sorted(map(".".join, missing)), sorted(map(".".join, unknown))


@check("partitions", "Partitioned tables have room for what comes", needs=("database",))
async def examine_partitions(request: Request) -> Findings:
    tables = {"messages": MESSAGES, "audit": EVENTS}
    return [await in_database(_partitions, name, table, seconds=request.seconds) for name, table in tables.items()]


def _partitions(name: str, table: PartitionedTable) -> Finding:
    mend = f"Run: manage.py partition {name}"
    if table.is_bounded:
        return failed("Partitioning was begun and broke off: it refuses what comes in some weeks.", mend, part=name)
    end = table.last_end
    if end is None:
        return ok("One table.", part=name)
    if table.has_rest:
        return warning("Something lies in no partition but the one for the rest.", f"{mend}, each month.", part=name)
    if table is MESSAGES and made_at(UUID(end)) < timezone.now() + ROOM:
        return warning(f"The last partition ends on {made_at(UUID(end)):%Y-%m-%d}.", f"{mend}, each month.", part=name)
    return ok(f"{len(table.partitions())} partitions.", part=name)


@check("pgvector", "Vectors can be compared", needs=("database",))
async def examine_pgvector(request: Request) -> Findings:
    version = await in_database(_pgvector, seconds=request.seconds)
    if version is None:
        return failed(
            "The extension “vector” is not there.",
            "Install pgvector for your PostgreSQL, then as its superuser: CREATE EXTENSION vector;",
        )
    if tuple(int(number) for number in version.split(".")[:2]) < HALFVEC_VERSION:
        return failed(f"pgvector {version} is too old.", "Install 0.7 or newer, then: ALTER EXTENSION vector UPDATE;")
    return ok(f"pgvector {version}: a distance was computed.")


def _pgvector() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if (row := cursor.fetchone()) is None:
            return None
        cursor.execute("SELECT '[1,0]'::halfvec(2) <=> '[0,1]'::halfvec(2)")
    return str(row[0])


@check("embedding", "The embedding model fits the stored vectors", needs=("database", "migrations", "pgvector"))
async def examine_embedding(request: Request) -> Findings:
    name, stored, strangers = await in_database(_vectors, seconds=request.seconds)
    wanted = settings.EMBEDDING_MODEL
    models = dict.fromkeys([name or wanted, wanted])
    findings = [await _asked(each, stored if each == name else None) for each in models]
    if name and name != wanted:
        findings.append(
            warning(
                f"{name} makes the vectors in force, not EMBEDDING_MODEL ({wanted}).",
                f"Switch with: manage.py embed_faqs --model {wanted}; or set EMBEDDING_MODEL={name}",
                part="switch",
            )
        )
    if strangers:
        findings.append(
            failed(
                f"{strangers} stored vectors of {name} are not of {stored} dimensions.",
                f"Make them anew: manage.py embed_faqs --model {name}",
                part="stored",
            )
        )
    return findings


async def _asked(name: str, stored: int | None) -> Finding:
    """One text embedded by ``name``, and whether its length is that of the ``stored`` vectors."""
    began = perf_counter()
    try:
        length = await in_thread(_length, name)
    except EmbeddingError as error:
        provider = settings.LLM_PROVIDERS.get(name.partition("/")[0])
        if isinstance(error.__cause__, LLMError) and provider is not None:
            return await explained(error.__cause__, provider, part=name)
        fix = "See that its provider runs and offers that model: manage.py models list; or set EMBEDDING_MODEL"
        return failed(f"{name}: {error.detail}", fix, part=name)
    took = (perf_counter() - began) * 1000
    if stored is not None and length != stored:
        return failed(
            f"{name} gives {length} dimensions, the stored vectors have {stored}: another model has its name now.",
            "Name the model that made them, or make all anew under another name: manage.py embed_faqs --model …",
            part=name,
        )
    return ok(f"{length} dimensions{'' if stored is None else ', as stored'}, {took:.0f} ms", part=name)


def _length(name: str) -> int:
    return int(embedder(name).embed(["How can we help you?"]).shape[1])


def _vectors() -> tuple[str, int, int]:
    """The name and dimensions of the model in force ("" and 0 for none), and how many of a thousand vectors of it are
    of another dimension."""
    state = KnowledgeState.objects.select_related("model").first()
    if state is None or state.model is None:
        return "", 0, 0
    (strangers,) = _row(
        "SELECT count(*) FROM (SELECT vector FROM faqs_embedding WHERE model_id = %s LIMIT 1000) few "
        "WHERE vector_dims(vector) <> %s",
        [state.model.pk, state.model.dimensions],
    )
    return state.model.name, state.model.dimensions, strangers


def _row(sql: str, parameters: list[Any] | None = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()
