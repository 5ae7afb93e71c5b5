"""Pseudonyms for the people of the audit trail, and the tables of its chain. What was recorded so far follows in 0005."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

FUNCTIONS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END$$;
CREATE FUNCTION audit_wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO accounts_auditwaiting (event_id) VALUES (NEW.id); RETURN NULL; END$$;
CREATE FUNCTION audit_identify() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO accounts_auditidentity (person_id, pseudonym, key) VALUES (NEW.id, gen_random_uuid(), uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())); RETURN NULL; END$$;

ALTER TABLE accounts_auditidentity ADD CONSTRAINT audit_identity_of_person
  FOREIGN KEY (person_id) REFERENCES accounts_user (id) ON DELETE CASCADE;
CREATE TRIGGER audit_identify AFTER INSERT ON accounts_user FOR EACH ROW EXECUTE FUNCTION audit_identify();
CREATE TRIGGER audit_wait AFTER INSERT ON accounts_auditevent FOR EACH ROW EXECUTE FUNCTION audit_wait();
"""
NO_FUNCTIONS = """
DROP TRIGGER audit_wait ON accounts_auditevent;
DROP TRIGGER audit_identify ON accounts_user;
DROP FUNCTION audit_identify();
DROP FUNCTION audit_wait();
DROP FUNCTION audit_refuse();
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0003_move_sessions")]

    operations = [
        migrations.CreateModel(
            name="AuditIdentity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("person", models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="audit_identity", to=settings.AUTH_USER_MODEL, verbose_name="person")),
                ("pseudonym", models.UUIDField(editable=False, unique=True)),
                ("key", models.BinaryField(editable=False)),
            ],
            options={"verbose_name": "audit identity"},
        ),
        migrations.CreateModel(
            name="AuditWaiting",
            fields=[("event_id", models.BigIntegerField(primary_key=True, serialize=False))],
        ),
        migrations.CreateModel(
            name="AuditLink",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("event_id", models.BigIntegerField(unique=True)),
                ("hash", models.BinaryField()),
                ("sealed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("hash", models.BinaryField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("public_key", models.BinaryField()),
                ("signature", models.BinaryField()),
            ],
            options={"abstract": False},
        ),
        migrations.AddField("auditevent", "by", models.ForeignKey(db_column="actor_pseudonym", db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.auditidentity", to_field="pseudonym", verbose_name="actor")),
        migrations.AddField("auditevent", "subject", models.ForeignKey(db_column="subject_pseudonym", db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.auditidentity", to_field="pseudonym", verbose_name="person concerned")),
        migrations.AddField("auditevent", "sealed_reason", models.BinaryField(default=b"", editable=False)),
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
    ]
