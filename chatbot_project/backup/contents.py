"""What a database holds, in figures by which a copy can be held against it."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from chatbot_project.backup.databases import Session

# However a session is set up, a row is written in the same way; the vectors' and floats' text is exact.
_AS_TEXT = (
    "SET LOCAL datestyle = 'ISO'; SET LOCAL timezone = 'UTC'; SET LOCAL intervalstyle = 'postgres';"
    " SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL statement_timeout = 0;"
    " SET LOCAL idle_in_transaction_session_timeout = 0"
)
# Without what extensions bring, and without generated columns, which are computed anew by the server they come to.
_TABLES = """
SELECT n.nspname, c.relname,
       coalesce(array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{}')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
  )
GROUP BY 1, 2 ORDER BY 1, 2
"""
_ROLES = """
SELECT DISTINCT quote_ident(pg_get_userbyid(a.grantee)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  aclexplode(c.relacl) a
WHERE a.grantee <> 0 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Table:
    """How many rows there are, and a sum over them that no order changes: that of the first 64 bits of each row's
    MD5. It shows damage; what shows tampering is the manifest's seal."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Of one moment. ``vector`` is the version of pgvector, "" where it is not there; ``roles``, quoted, are those that
    rights on its tables and sequences were granted to, and their owners."""

    server: int
    vector: str
    bytes: int
    migrations: tuple[str, ...]
    tables: dict[str, Table]
    roles: tuple[str, ...]


def read_contents(session: Session) -> Contents:
    """Of the session's transaction. Reads every row once."""
    session.execute(_AS_TEXT)
    server, vector, size = _row(
        session,
        "SELECT current_setting('server_version_num')::int / 10000,"
        " coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), ''),"
        " pg_database_size(current_database())",
    )
    migrations: list[Any] = []
    if _row(session, "SELECT to_regclass('django_migrations')")[0] is not None:
        migrations = session.execute("SELECT app || '.' || name FROM django_migrations ORDER BY 1").fetchall()
    found = session.execute(_TABLES).fetchall()
    tables = {_name(schema, table): _figures(session, schema, table, columns) for schema, table, columns in found}
    roles = session.execute(_ROLES).fetchall()
    return Contents(server, vector, size, _first(migrations), tables, _first(roles))


def differences(wanted: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """A line for each table that is not the same in both. Pure."""
    told = []
    for name in sorted({*wanted, *found}):
        before, after = wanted.get(name), found.get(name)
        if before is None or after is None:
            told.append(f"{name} is only in the {'restored database' if before is None else 'backup'}")
        elif before.rows != after.rows:
            told.append(f"{name} has {after.rows} rows instead of {before.rows}")
        elif before.digest != after.digest:
            told.append(f"{name} has other values in its {after.rows} rows")
    return told


def _figures(session: Session, schema: str, table: str, columns: list[str]) -> Table:
    row = sql.SQL("ROW({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(('x' || left(md5({}::text), 16))::bit(64)::bigint), 0)::text FROM ONLY {}"
    ).format(row, sql.Identifier(schema, table))
    rows, digest = session.execute(query).fetchone() or (0, "0")
    return Table(rows, digest)


def _first(rows: list[Any]) -> tuple[str, ...]:
    return tuple(row[0] for row in rows)


def _name(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"


def _row(session: Session, query: str) -> Any:
    return session.execute(query).fetchone()
