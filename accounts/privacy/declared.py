"""What the accounts hold of people, with what other packages' models hold."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils.translation import gettext_noop
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access_log import LOOKED_AT
from accounts.audit import events_about
from accounts.models import (
    ApiKey,
    AuditCheckpoint,
    AuditEvent,
    AuditIdentity,
    AuditLink,
    AuditWaiting,
    BrowserSession,
    Consent,
    DataRequest,
    ErasureEntry,
    ExportChunk,
    LegalHold,
    OutgoingMail,
    RecoveryCode,
    RefreshFamily,
    RetentionPolicy,
    RetentionRun,
    SignUp,
    User,
)
from accounts.privacy.registry import Basis, DataClass, Erasure, Nothing, PersonalData, Retention, Section, declare
from accounts.retention.policies import Class
from accounts.sessions import DEVICE

SIGNING_IN = "Letting people sign in, and showing them where they are signed in."


def _sign_ups_of(person: Any) -> Q:
    return Q(user=person.pk) | (Q(email=person.email) if person.email else Q(pk=None))


def _mails_to(person: Any) -> Q:
    return Q(user=person.pk) | Q(sign_up__user=person.pk) | (Q(to_address=person.email) if person.email else Q(pk=None))


def _record_of(person: Any) -> Iterator[dict[str, Any]]:
    for entry in events_about(person):
        yield {
            "at": entry.at,
            "action": entry.action,
            "by": entry.actor,
            "own": entry.own,
            "object_type": entry.object_type,
            "object_id": entry.object_id,
            "reason": entry.reason,
        }


def _recorded_of(person: Any) -> Q:
    return Q(actor__person=person.pk) | Q(subject__person=person.pk)


def _admin_log_of(person: Any) -> Q:
    """What they did in the admin, and what was done there to their row, whose name it repeats."""
    their_row = Q(content_type__app_label="accounts", content_type__model="user", object_id=str(person.pk))
    return Q(user=person.pk) | their_row


declare(
    PersonalData(
        model=User,
        about=gettext_noop(
            "Account: address, username, role, language, time zone, when last seen, whether processing is paused"
        ),
        data_class=DataClass.ACCOUNT,
        purpose="Running the person's account.",
        basis=Basis.CONTRACT,
        of="pk",
        erasure=Erasure.DELETE,
        erasure_note="The row goes last, once all else is gone.",
        retention=Retention(
            "As long as the account; a guest's until unseen for some days, and so is one whose address was never "
            "confirmed.",
            (Class.ACCOUNT, Class.UNCONFIRMED),
            "last_seen_at",
        ),
        section="account",
        exported=(
            *("id", "email", "username", "role", "language", "timezone", "is_guest", "is_active"),
            *("email_verified_at", "created_at", "last_seen_at", "second_factor_at"),
            *("restricted_at", "restricted_by_staff", "restriction_ends_at"),
        ),
        written=("email", "username"),
        fixed=("password", "language", "timezone"),
    ),
    PersonalData(
        model=BrowserSession,
        about=gettext_noop("Browser sessions: device in words, since when, last seen"),
        data_class=DataClass.CREDENTIAL,
        purpose=SIGNING_IN,
        basis=Basis.CONTRACT,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention(
            "Two weeks after the last change (SESSION_COOKIE_AGE), and so many days after it was last used at most; "
            "then gone within six hours.",
            (Class.SESSION,),
            "last_seen_at",
        ),
        section="sessions",
        exported=("last_seen_at", "expire_date"),
        derived={"device": lambda session: str(session.get_decoded().get(DEVICE, ""))},
        fixed=("session_key", "session_data"),
    ),
    PersonalData(
        model=RefreshFamily,
        about=gettext_noop("Programs' sign-ins: device in words, when used"),
        data_class=DataClass.CREDENTIAL,
        purpose=SIGNING_IN,
        basis=Basis.CONTRACT,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention(
            "Until its tokens have run out, a week after the last use, or so many days after it; then gone within six "
            "hours.",
            (Class.SESSION,),
            "last_used_at",
        ),
        section="program_sign_ins",
        exported=("id", "device", "created_at", "last_used_at", "expires_at", "revoked_at", "reason", "second_factor"),
        written=("device",),
    ),
    PersonalData(
        model=ApiKey,
        about=gettext_noop("API keys: their names, when used; the key itself only as a hash"),
        data_class=DataClass.CREDENTIAL,
        purpose="Letting people's programs act for them.",
        basis=Basis.CONTRACT,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention("As long as the account.", since="revoked_at"),
        section="api_keys",
        exported=("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"),
        written=("name",),
        fixed=("prefix", "digest", "scopes"),
    ),
    PersonalData(
        model=Consent,
        about=gettext_noop("Ledger of consents: purpose, decision, version and hash of the text, when, where"),
        data_class=DataClass.CONSENT,
        purpose="Showing what people agreed to, and going by it.",
        basis=Basis.LEGAL_DUTY,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="The lines go with the account's row, by a trigger of the database, and in no other way.",
        retention=Retention("As long as the account: it is only added to.", since="at"),
        section="consents",
        exported=("purpose", "granted", "version", "text_hash", "language", "source", "at"),
        fixed=("text_hash", "language"),
        erase=lambda person: 0,
    ),
    PersonalData(
        model=TOTPDevice,
        about=gettext_noop("Authenticator apps: the secret of which codes are made, encrypted; when used"),
        data_class=DataClass.CREDENTIAL,
        purpose=SIGNING_IN,
        basis=Basis.CONTRACT,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention("Until turned off or reset, or as long as the account."),
        section="authenticators",
        exported=("created_at", "last_used_at"),
        fixed=("name", "key"),
    ),
    PersonalData(
        model=RecoveryCode,
        about=gettext_noop("Recovery codes that are not used, as hashes"),
        data_class=DataClass.CREDENTIAL,
        purpose=SIGNING_IN,
        basis=Basis.CONTRACT,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention("Until used, renewed or turned off, or as long as the account."),
        not_exported="A hash tells its person nothing, and its leak would help guessing.",
        fixed=("digest",),
    ),
    PersonalData(
        model=DataRequest,
        about=gettext_noop("What somebody asked for by right: copies and erasures"),
        data_class=DataClass.CONSENT,
        purpose="Doing what people may ask for, and showing that it was done.",
        basis=Basis.LEGAL_DUTY,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted with the account. A line in the log of erasures stays, which names nobody.",
        retention=Retention("As long as the account.", since="created_at"),
        section="requests",
        exported=("id", "kind", "state", "created_at", "due_at", "expires_at", "finished_at", "size"),
        fixed=("language",),
        erase=lambda person: 0,
    ),
    PersonalData(
        model=ExportChunk,
        about=gettext_noop("Copies of a person's data that wait to be fetched, encrypted"),
        data_class=DataClass.CONTENT,
        purpose="Doing what people may ask for, and showing that it was done.",
        basis=Basis.LEGAL_DUTY,
        of="request__user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention("Until an hour after the copy was fetched, or as many days unfetched.", (Class.EXPORT,)),
        not_exported="It is the export.",
    ),
    Section(
        name="record",
        about=gettext_noop("What was done to the person's account and data, or by them, by whom and why"),
        fields={
            "at": {"type": "string", "format": "date-time"},
            "action": {"type": "string"},
            "by": {"type": "string", "description": "Empty: the system, or somebody who is not known any more."},
            "own": {"type": "boolean", "description": "Whether the person did it."},
            "object_type": {"type": "string"},
            "object_id": {"type": "string"},
            "reason": {"type": "string"},
        },
        rows=_record_of,
        words={"action": LOOKED_AT},
    ),
    PersonalData(
        model=SignUp,
        about=gettext_noop("Sign-ups whose address is not confirmed yet"),
        data_class=DataClass.ACCOUNT,
        purpose="Making an account once its address is shown to be theirs.",
        basis=Basis.CONTRACT,
        of=_sign_ups_of,
        erasure=Erasure.DELETE,
        erasure_note="Deleted, with any other sign-up for the same address.",
        retention=Retention("So many days; then gone within six hours.", (Class.SIGN_UP,), "created_at"),
        section="sign_ups",
        exported=("email", "username", "language", "created_at"),
        written=("email", "username"),
        fixed=("password", "language", "consents"),
        references={"guest": "emptied with the guest"},
    ),
    PersonalData(
        model=OutgoingMail,
        about=gettext_noop("Mail that waits to go out: to which address, of what kind"),
        data_class=DataClass.ACCOUNT,
        purpose="Sending the mail that somebody asked for.",
        basis=Basis.CONTRACT,
        of=_mails_to,
        erasure=Erasure.DELETE,
        erasure_note="Deleted unsent.",
        retention=Retention("Until it is sent, so many days at most.", (Class.MAIL,), "created_at"),
        not_exported="It is the mail that the person gets a moment later.",
        written=("to_address",),
        fixed=("language",),
    ),
    PersonalData(
        model=AuditEvent,
        about=gettext_noop("Record of what was done with accounts and others' data, by whom and why, under pseudonyms"),
        data_class=DataClass.RECORD,
        purpose="Showing who did what; finding misuse.",
        basis=Basis.LEGAL_DUTY,
        of=_recorded_of,
        erasure=Erasure.KEEP,
        erasure_note="Kept, as it is only added to: whose a pseudonym was nobody can tell once the identity is gone, "
        "nor read the reasons.",
        retention=Retention("For good: the chain shows that nothing is missing only while all of it is there."),
        not_exported="The section `record` tells all of it, with names and reasons.",
        fixed=("action", "object_type", "object_id", "details"),
    ),
    PersonalData(
        model=AuditIdentity,
        about=gettext_noop("Under which pseudonym the record knows somebody, and the key of the reasons in it"),
        data_class=DataClass.RECORD,
        purpose="Ending, with the account, what ties the record to its person.",
        basis=Basis.LEGAL_DUTY,
        of="person",
        erasure=Erasure.DELETE,
        erasure_note="Deleted, and with it what the record tells of the person.",
        retention=Retention("As long as the account."),
        not_exported="A random name and a key: what they stand for is in the record of actions.",
    ),
    PersonalData(
        model=LegalHold,
        about=gettext_noop("Legal holds: whose data, or which conversation, is kept whatever its time"),
        data_class=DataClass.RECORD,
        purpose="Keeping what a court or an authority may ask for.",
        basis=Basis.LEGAL_DUTY,
        of="person",
        erasure=Erasure.KEEP,
        erasure_note="Kept, and with it what it holds: until it is released, the account cannot be removed.",
        retention=Retention("Until it is released.", since="placed_at"),
        not_exported="Telling of it may defeat its purpose; whoever runs the installation decides.",
        told=False,
    ),
    PersonalData(
        model=LogEntry,
        about=gettext_noop("What staff did in the admin, and to whom"),
        data_class=DataClass.RECORD,
        purpose="The admin's list of one's own recent actions.",
        basis=Basis.INTEREST,
        of=_admin_log_of,
        erasure=Erasure.DELETE,
        erasure_note="Deleted: what they did there, and what names them.",
        retention=Retention(
            "As long as the account of who did it; so many days, if set.", (Class.RECORD,), "action_time"
        ),
        not_exported="The record of actions says the same and more.",
        written=("object_repr", "change_message"),
        fixed=("object_id",),
    ),
    Nothing(AuditLink, "Hashes."),
    Nothing(AuditCheckpoint, "Hashes and signatures."),
    Nothing(AuditWaiting, "Numbers of events."),
    Nothing(RetentionPolicy, "Numbers of days."),
    Nothing(RetentionRun, "Counts of rows."),
    Nothing(ErasureEntry, "Names nobody: ids and addresses as keyed hashes, so that an erasure can be done again."),
    Nothing(ContentType, "Names of models."),
    Nothing(Permission, "Names of permissions; what a role may do is said in accounts/roles.py."),
    Nothing(Group, "Unused: there are roles."),
    Nothing(Group.permissions.through, "Unused: there are roles."),
    Nothing(Session, "Unused: sessions are accounts.BrowserSession."),
)
