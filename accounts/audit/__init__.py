"""The audit trail (docs/audit.md): what reads and forgets. Events are added by ``accounts.services.record_audit``."""

from accounts.audit.identities import forget
from accounts.audit.reading import AuditEntry, events_about

__all__ = ["AuditEntry", "events_about", "forget"]
