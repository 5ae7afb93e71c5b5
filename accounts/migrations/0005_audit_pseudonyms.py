"""What was recorded by name so far, by pseudonym; reasons under the keys of those whom they are about."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import migrations

IDENTITIES = """
INSERT INTO accounts_auditidentity (person_id, pseudonym, key)
SELECT id, gen_random_uuid(), uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) FROM accounts_user
ON CONFLICT (person_id) DO NOTHING
"""
# People who are gone already get pseudonyms that nothing leads back from.
PEOPLE = """
CREATE TEMPORARY TABLE audit_people ON COMMIT DROP AS
SELECT person, COALESCE(identity.pseudonym, gen_random_uuid()) AS pseudonym FROM (
  SELECT actor_id AS person FROM accounts_auditevent WHERE actor_id IS NOT NULL
  UNION SELECT object_id::uuid FROM accounts_auditevent WHERE object_type = 'accounts.user' AND object_id <> ''
) AS people LEFT JOIN accounts_auditidentity identity ON identity.person_id = people.person
"""
ACTORS = """
UPDATE accounts_auditevent SET actor_pseudonym = people.pseudonym FROM audit_people people
WHERE people.person = actor_id
"""
SUBJECTS = """
UPDATE accounts_auditevent SET subject_pseudonym = people.pseudonym, object_id = people.pseudonym::text
FROM audit_people people WHERE object_type = 'accounts.user' AND object_id = people.person::text
"""
WAITING = "INSERT INTO accounts_auditwaiting (event_id) SELECT id FROM accounts_auditevent ON CONFLICT DO NOTHING"
REASONS = """
SELECT event.id, event.reason, subject.key, actor.key FROM accounts_auditevent event
LEFT JOIN accounts_auditidentity subject ON subject.pseudonym = event.subject_pseudonym
LEFT JOIN accounts_auditidentity actor ON actor.pseudonym = event.actor_pseudonym
WHERE event.reason <> ''
"""


def use_pseudonyms(apps, schema_editor) -> None:
    with schema_editor.connection.cursor() as cursor:
        for statement in (IDENTITIES, PEOPLE, ACTORS, SUBJECTS, WAITING, REASONS):
            cursor.execute(statement)
        sealed = [(_sealed(reason, subject, actor), pk) for pk, reason, subject, actor in cursor.fetchall()]
        cursor.executemany("UPDATE accounts_auditevent SET sealed_reason = %s WHERE id = %s", sealed)


def _sealed(reason: str, subject: bytes | None, actor: bytes | None) -> bytes:
    """As accounts/audit/reasons.py does it; nothing where neither person is there any more."""
    key, whose = (subject, b"s") if subject else (actor, b"a")
    if not key:
        return b""
    nonce = os.urandom(12)
    return whose + nonce + AESGCM(bytes(key)).encrypt(nonce, reason.encode(), whose)


class Migration(migrations.Migration):

    dependencies = [("accounts", "0004_audit_identities")]

    operations = [migrations.RunPython(use_pseudonyms)]
