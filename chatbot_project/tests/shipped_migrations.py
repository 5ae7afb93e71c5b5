"""Migrations that test_migrations.py would refuse today, with the rules that each breaks.

All of them were made before 0.1.0, the first release: no installation has that much in its tables, or goes over them
while an older version serves. They stay as they are, for a migration is never edited after it landed. **After that
release nothing is added here**: a new migration is made in the steps that docs/upgrading.md describes.
"""

_ADDS_INDEX = {"require-concurrent-index-creation"}
# A column that must not be empty, whose default only Django knows: today by `db_default`.
_DEMANDS_VALUE = {"ban-drop-default"}
_CHANGES_ROWS = {"data-in-batches"}
_DEMANDS_AND_CHECKS = {"ban-drop-default", "constraint-missing-not-valid"}

FIRST_RELEASE: dict[tuple[str, str], set[str]] = {
    # Who was signed in to a service that nobody had installed yet; likewise its audit trail (0005).
    ("accounts", "0003_move_sessions"): _CHANGES_ROWS,
    ("accounts", "0004_audit_identities"): _DEMANDS_VALUE,
    # Who is in the audit trail was moved into a table of its own first (0005).
    ("accounts", "0005_audit_pseudonyms"): _CHANGES_ROWS,
    ("accounts", "0006_audit_append_only"): {"ban-drop-column"} | _ADDS_INDEX,
    ("accounts", "0007_consents"): _DEMANDS_VALUE,
    ("accounts", "0008_second_factor"): _DEMANDS_VALUE,
    ("accounts", "0012_erasures_and_suspensions"): _DEMANDS_VALUE,
    ("accounts", "0013_restriction"): _DEMANDS_VALUE,
    # A row for each moderator and admin.
    ("accounts", "0014_sealed_authenticators"): _CHANGES_ROWS,
    ("accounts", "0015_restriction_notice"): _ADDS_INDEX,
    # A row for each class of data.
    ("accounts", "0018_retention_classes"): _DEMANDS_VALUE,
    ("accounts", "0020_data_request_language"): _DEMANDS_VALUE,
    # Reports had not been sent yet.
    ("analytics", "0004_report_subscriptions"): {"adding-required-field", "disallowed-unique-constraint"}
    | _DEMANDS_AND_CHECKS,
    # Figures, which are counted anew after it; the row that it changes is the only one of its table.
    ("analytics", "0005_cuboids"): {"disallowed-unique-constraint", "data-apart-from-tables"}
    | _DEMANDS_AND_CHECKS
    | _CHANGES_ROWS,
    # A row a week.
    ("analytics", "0007_mood_weeks_of_the_demo"): {"disallowed-unique-constraint", "require-concurrent-index-deletion"}
    | _DEMANDS_AND_CHECKS,
    # The table is made in the same migration.
    ("conversations", "0001_initial"): {"adding-required-field"},
    ("conversations", "0003_unknown_replies"): _ADDS_INDEX,
    ("conversations", "0004_programs"): {"require-concurrent-index-deletion"} | _ADDS_INDEX,
    ("conversations", "0005_figures"): _ADDS_INDEX,
    ("conversations", "0009_moderation_scores"): _ADDS_INDEX,
    ("conversations", "0010_moderation_endpoint"): _DEMANDS_VALUE,
    # What was held back by then.
    ("conversations", "0011_moderation_withdrawn"): {"adding-not-nullable-field", "data-apart-from-tables"}
    | _DEMANDS_AND_CHECKS,
    # The table is made in the same migration.
    ("conversations", "0013_response_cache"): {"rewriting-table"},
    ("personas", "0001_initial"): {"disallowed-unique-constraint"},
    # Some dozen rows.
    ("personas", "0002_knowledge"): _DEMANDS_AND_CHECKS,
    ("personas", "0003_personal_data"): _DEMANDS_AND_CHECKS,
    ("personas", "0004_moderation_thresholds"): _DEMANDS_AND_CHECKS,
    ("personas", "0005_cache_hours"): _DEMANDS_VALUE,
}
