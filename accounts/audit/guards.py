"""The triggers that keep the trail append-only, as migrations made them, and whether they still stand.

A role that does not own the tables cannot take them off. The owner can: ``verify_audit`` says so, and the chain shows
what was done meanwhile.
"""

from dataclasses import dataclass, replace

from django.db import connection

from chatbot_project.lib.postgres.partitions import partitions_of

# Bodies of the functions, character by character as migration 0004 made them: a changed one guards nothing.
REFUSE = (
    "BEGIN RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME"
    " USING ERRCODE = 'insufficient_privilege'; END"
)
WAIT = "BEGIN INSERT INTO accounts_auditwaiting (event_id) VALUES (NEW.id); RETURN NULL; END"
IDENTIFY = (
    "BEGIN INSERT INTO accounts_auditidentity (person_id, pseudonym, key) VALUES (NEW.id, gen_random_uuid(),"
    " uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())); RETURN NULL; END"
)

APPEND_ONLY = ("accounts_auditevent", "accounts_auditlink", "accounts_auditcheckpoint")

# What a role needs that does not own the tables: no UPDATE anywhere, DELETE only of what waits and of identities.
GRANTS = (
    *(f"GRANT SELECT, INSERT ON {table} TO {{role}}" for table in APPEND_ONLY),
    "GRANT SELECT, INSERT, DELETE ON accounts_auditwaiting, accounts_auditidentity TO {role}",
    "GRANT USAGE ON SEQUENCE accounts_auditevent_id_seq, accounts_auditidentity_id_seq TO {role}",
)

# pg_trigger.tgtype: 1 for each row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate
CHANGE, TRUNCATE, INSERTED = 1 | 2 | 8 | 16, 2 | 32, 1 | 4


@dataclass(frozen=True, slots=True)
class Guard:
    """A trigger that must be there, enabled, for these events, without a condition, and running this body."""

    table: str
    name: str
    kind: int
    body: str


GUARDS = (
    *(Guard(table, "audit_refuse_change", CHANGE, REFUSE) for table in APPEND_ONLY),
    *(Guard(table, "audit_refuse_truncate", TRUNCATE, REFUSE) for table in APPEND_ONLY),
    Guard("accounts_auditevent", "audit_wait", INSERTED, WAIT),
    Guard("accounts_user", "audit_identify", INSERTED, IDENTIFY),
)

# Of the tables, and of their partitions where there are any (chatbot_project/lib/postgres/partitions.py).
STANDING = """
SELECT coalesce(whole.relname, c.relname), c.relname, t.tgname, t.tgtype, p.prosrc
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class whole ON whole.oid = i.inhparent
LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL
  AND t.tgattr = ''::int2vector
LEFT JOIN pg_proc p ON p.oid = t.tgfoid
WHERE coalesce(i.inhparent, c.oid) IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""
RIGHTS = """
SELECT c.relname, pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'UPDATE'),
       has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'TRUNCATE')
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE coalesce(i.inhparent, c.oid) IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY c.relname
"""


def grant(role: str) -> list[str]:
    """Statements that give ``role`` what the product needs of the trail's tables, and take everything else: of their
    partitions, all. One query."""
    tables = ", ".join([*APPEND_ONLY, "accounts_auditwaiting", "accounts_auditidentity", *partitions_of(*APPEND_ONLY)])
    quoted = '"' + role.replace('"', '""') + '"'
    return [f"REVOKE ALL ON {tables} FROM {quoted}", *(each.format(role=quoted) for each in GRANTS)]


def missing_guards() -> list[Guard]:
    """Those that are gone, disabled or not what they were, of a table or of one of its partitions. One query."""
    parts: dict[str, set[str]] = {guard.table: {guard.table} for guard in GUARDS}
    standing = set()
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [sorted(parts)])
        for table, part, name, kind, body in cursor.fetchall():
            parts[table].add(part)
            standing.add(Guard(part, name, kind, (body or "").strip()))
    wanted = [replace(guard, table=part) for guard in GUARDS for part in sorted(parts[guard.table])]
    return [guard for guard in wanted if guard not in standing]


def are_triggers_off() -> bool:
    """Whether this connection's role runs without triggers (``session_replication_role``)."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW session_replication_role")
        return bool(cursor.fetchone()[0] != "origin")


def too_many_rights() -> list[str]:
    """Tables of the trail that the present role owns, or may change or empty: "table: how". One query."""
    with connection.cursor() as cursor:
        cursor.execute(RIGHTS, [list(APPEND_ONLY)])
        rows = cursor.fetchall()
    found = []
    for table, *rights in rows:
        held = [name for name, has in zip(("owner", "UPDATE", "DELETE", "TRUNCATE"), rights, strict=True) if has]
        if held:
            found.append(f"{table}: {', '.join(held)}")
    return found
