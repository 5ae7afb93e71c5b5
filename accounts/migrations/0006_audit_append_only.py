"""Names and clear reasons leave the audit trail, which from here on can only be added to."""

from django.db import migrations, models

TABLES = ("accounts_auditevent", "accounts_auditlink", "accounts_auditcheckpoint")
REFUSE = """
CREATE TRIGGER audit_refuse_change BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""
ALLOW = """
DROP TRIGGER audit_refuse_change ON {table};
DROP TRIGGER audit_refuse_truncate ON {table};
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0005_audit_pseudonyms")]

    operations = [
        migrations.RemoveField("auditevent", "actor"),
        migrations.RemoveField("auditevent", "reason"),
        migrations.RenameField("auditevent", "by", "actor"),
        migrations.AlterField("auditevent", "object_id", models.CharField(blank=True, max_length=64, verbose_name="object")),
        migrations.AddIndex("auditevent", models.Index(fields=["actor", "-id"], name="audit_by_actor")),
        migrations.AddIndex("auditevent", models.Index(fields=["subject", "-id"], name="audit_about_person")),
        migrations.AddIndex("auditevent", models.Index(fields=["action", "-id"], name="audit_of_action")),
        migrations.RunSQL(
            "".join(REFUSE.format(table=table) for table in TABLES),
            "".join(ALLOW.format(table=table) for table in TABLES),
        ),
    ]
