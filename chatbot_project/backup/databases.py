"""Databases of the configured server: one beside the product's, filled and looked at, and put into its place."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from chatbot_project.backup.errors import BackupError

#: Not for what reads and writes whole tables, where a server that is busy may take nothing for a while; keepalives find
#: one that is gone.
NOT_LIBPQ = {"pool", "prepare_threshold", "tcp_user_timeout"}
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
LONGEST_NAME = 63  # bytes of a name in PostgreSQL
_TRIES = 6  # to have all others out; each waits 5 s for those who do not go
Session = psycopg.Connection[tuple[Any, ...]]


def parameters(database: str) -> dict[str, str]:
    """What libpq needs to reach ``database`` on the configured server. Raises BackupError behind a pooler."""
    if settings.DATABASE_TRANSACTION_POOLER:
        raise BackupError(
            "A pooler of transactions stands before the database (DATABASE_TRANSACTION_POOLER). Run this with the "
            "server's own address in DATABASE_URL and DATABASE_TRANSACTION_POOLER=0."
        )
    kept = connection.settings_dict
    given = {"user": kept["USER"], "password": kept["PASSWORD"], "host": kept["HOST"], "port": kept["PORT"]}
    given |= {name: value for name, value in kept["OPTIONS"].items() if name not in NOT_LIBPQ}
    return {name: str(value) for name, value in given.items() if value} | {"dbname": database}


def own_name() -> str:
    """The product's database."""
    return str(connection.settings_dict["NAME"])


def connect(database: str, *, autocommit: bool = False) -> Session:
    """A session of its own. Raises BackupError."""
    try:
        return psycopg.connect(**parameters(database) | {"application_name": "nono backup"}, autocommit=autocommit)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise BackupError(f"The database “{database}” cannot be reached: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def keeper() -> Iterator[Session]:
    """A session outside the product's database, which makes, drops and swaps others; only one process has it at a time.
    Raises BackupError."""
    with connect("postgres", autocommit=True) as session:
        (is_mine,) = _row(
            session, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [f"nono restore {own_name()}"]
        )
        if not is_mine:
            raise BackupError("Another restore or check of a backup is at it. Wait for its end.")
        try:
            yield session
        finally:
            # Now: the server sees a little later that a session has ended.
            with suppress(psycopg.Error):  # the session is lost, and the lock with it
                session.execute("SELECT pg_advisory_unlock_all()")


def exists(session: Session, name: str) -> bool:
    return bool(_row(session, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", [name])[0])


def names_of(session: Session, beginning: str) -> list[str]:
    """The server's databases whose names begin so."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
    return [name for (name,) in session.execute(query, [beginning]).fetchall()]


def is_empty(name: str) -> bool:
    """Whether there is no table in it."""
    with connect(name) as session:
        (tables,) = _row(
            session,
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'",
        )
    return bool(tables == 0)


def name_beside(kind: str) -> str:
    """The name of a database beside the product's: ``nono_restoring``."""
    return f"{own_name()[: LONGEST_NAME - len(kind) - 1]}_{kind}"


def drop(session: Session, name: str) -> None:
    """Remove it, whoever is connected."""
    session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def scratch(session: Session) -> Iterator[str]:
    """The name of a new, empty database like the product's: gone at the end, unless it was given another name. What a
    killed run has left goes first. Raises BackupError."""
    name = name_beside("restoring")
    try:
        drop(session, name)
        _create(session, name)
    except psycopg.Error as error:
        raise BackupError(f"No database can be made: {first_line(error)}. The role needs CREATEDB.") from error
    try:
        yield name
    except BaseException:
        with suppress(psycopg.Error):  # what went wrong first is told; the next run removes what is left
            drop(session, name)
        raise
    drop(session, name)


def _create(session: Session, name: str) -> None:
    """Make it with the encoding, collation, settings and rights of the product's, where that is there."""
    row = _row(session, "SELECT to_jsonb(d) FROM pg_database d WHERE datname = %s", [own_name()])
    likeness = _likeness(session, row[0]) if row else sql.SQL("")
    session.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), likeness))
    if not row:
        return
    kept = session.execute(
        "SELECT quote_ident(r.rolname), c FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole,"
        " unnest(s.setconfig) c WHERE s.setdatabase = %s::oid",
        [row[0]["oid"]],
    ).fetchall()
    for role, setting in kept:
        variable, _, value = setting.partition("=")
        whose = sql.SQL("ROLE {} IN DATABASE {}" if role else "DATABASE {}")
        target = [sql.SQL(role), sql.Identifier(name)] if role else [sql.Identifier(name)]
        session.execute(
            sql.SQL("ALTER {} SET {} TO {}").format(whose.format(*target), sql.Identifier(variable), sql.Literal(value))
        )
    granted = session.execute(
        "SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
        " a.privilege_type FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = %s",
        [own_name()],
    ).fetchall()
    if granted:
        session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    for grantee, privilege in granted:
        session.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), sql.Identifier(name), sql.SQL(grantee))
        )


def _likeness(session: Session, wanted: dict[str, Any]) -> sql.Composable:
    """What CREATE DATABASE needs to make one that sorts as ``wanted``, a row of pg_database; nothing where it does by
    itself. PostgreSQL's versions name some columns differently."""
    (usual,) = _row(session, "SELECT to_jsonb(d) FROM pg_database d WHERE datname = 'template1'")
    told = ("encoding", "datcollate", "datctype", "datlocprovider", "datlocale", "daticulocale")
    if all(usual.get(name) == wanted.get(name) for name in told):
        return sql.SQL("")
    (encoding,) = _row(session, "SELECT pg_encoding_to_char(%s)", [wanted["encoding"]])
    options = {"ENCODING": encoding, "LC_COLLATE": wanted["datcollate"], "LC_CTYPE": wanted["datctype"]}
    if "datlocprovider" in wanted:
        provider = PROVIDERS[wanted["datlocprovider"]]
        options["LOCALE_PROVIDER"] = provider
        if provider != "libc":
            options[f"{provider.upper()}_LOCALE"] = wanted.get("datlocale") or wanted.get("daticulocale")
    parts = [sql.SQL("{} {}").format(sql.SQL(name), sql.Literal(value)) for name, value in options.items()]
    return sql.SQL("TEMPLATE template0 ") + sql.SQL(" ").join(parts)


# Autovacuum gives way by itself. A superuser is put out by superusers alone: the rename says that somebody is there.
_PUT_OUT = """
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = ANY(%s) AND a.backend_type = 'client backend'
  AND (NOT r.rolsuper OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
"""


def swap(session: Session, new: str, *, replaced: str) -> None:
    """Give ``new`` the name of the product's database, and that, where it is there, the name ``replaced``: both or
    neither. Whoever is connected to it is disconnected. Raises BackupError."""
    own = own_name()
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    for attempt in range(_TRIES):
        try:
            with session.transaction():
                # Once the first name is locked nobody comes in any more; who was quicker is put out at the next try.
                if exists(session, own):
                    session.execute(_PUT_OUT, [[own, new]])
                    session.execute(rename.format(sql.Identifier(own), sql.Identifier(replaced)))
                session.execute(rename.format(sql.Identifier(new), sql.Identifier(own)))
            return
        except psycopg.errors.ObjectInUse:
            sleep(0.1 * attempt)
        except psycopg.Error as error:
            raise BackupError(f"The databases cannot change places: {first_line(error)}") from error
    raise BackupError(f"Somebody else is connected to “{own}” and cannot be put out: stop Nono's processes.")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Within it, Django's connection is to the database ``name``. For commands: no other thread may use it."""
    kept = own_name()
    _point_at(name)
    try:
        yield
    finally:
        _point_at(kept)


def _point_at(name: str) -> None:
    """Nobody is left in the other: a database that is renamed or dropped has to be empty of sessions."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # missing in the stubs
    connection.settings_dict["NAME"] = name


def _row(session: Session, query: str, values: list[Any] | None = None) -> Any:
    return session.execute(query, values).fetchone()
