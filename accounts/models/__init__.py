"""People, what they are signed in with and agreed to, the mail they get and what was done to whom."""

from accounts.models.audit import (
    AppendOnly,
    AuditCheckpoint,
    AuditEvent,
    AuditIdentity,
    AuditLink,
    AuditWaiting,
)
from accounts.models.credentials import (
    ApiKey,
    Authenticator,
    BrowserSession,
    RecoveryCode,
    RefreshFamily,
    seal_secret,
    unseal_secret,
)
from accounts.models.mail import OutgoingMail
from accounts.models.people import USERNAME_LENGTH, SignUp, User, UserManager, normalise_address, username_characters
from accounts.models.privacy import Consent, DataRequest, ErasureEntry, ExportChunk, Purpose
from accounts.models.retention import LegalHold, RetentionPolicy, RetentionRun

__all__ = [
    "USERNAME_LENGTH",
    "ApiKey",
    "AppendOnly",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditIdentity",
    "AuditLink",
    "AuditWaiting",
    "Authenticator",
    "BrowserSession",
    "Consent",
    "DataRequest",
    "ErasureEntry",
    "ExportChunk",
    "LegalHold",
    "OutgoingMail",
    "Purpose",
    "RecoveryCode",
    "RefreshFamily",
    "RetentionPolicy",
    "RetentionRun",
    "SignUp",
    "User",
    "UserManager",
    "normalise_address",
    "seal_secret",
    "unseal_secret",
    "username_characters",
]
