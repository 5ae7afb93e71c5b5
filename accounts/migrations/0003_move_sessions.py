"""Browsers that are signed in stay so: their sessions move to the table that knows whose each one is."""

from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations
from django.utils import timezone

BATCH = 1000


def move(apps, schema_editor):
    """Batch by batch, each of which is gone from the old table once it stands in the new one."""
    old, new = apps.get_model("sessions", "Session"), apps.get_model("accounts", "BrowserSession")
    now = timezone.now()
    store = SessionStore()
    while rows := list(old.objects.filter(expire_date__gt=now).order_by("session_key")[:BATCH]):
        new.objects.bulk_create(
            (
                new(
                    session_key=row.session_key,
                    session_data=row.session_data,
                    expire_date=row.expire_date,
                    user_id=person_id(store.decode(row.session_data)),
                    last_seen_at=now,
                )
                for row in rows
            ),
            ignore_conflicts=True,
        )
        old.objects.filter(pk__in=[row.pk for row in rows]).delete()
    old.objects.all().delete()


def person_id(data):
    try:
        return UUID(data[SESSION_KEY])
    except (KeyError, TypeError, ValueError):
        return None


def move_back(apps, schema_editor):
    old, new = apps.get_model("sessions", "Session"), apps.get_model("accounts", "BrowserSession")
    while rows := list(new.objects.order_by("session_key")[:BATCH]):
        old.objects.bulk_create(
            (
                old(session_key=row.session_key, session_data=row.session_data, expire_date=row.expire_date)
                for row in rows
            ),
            ignore_conflicts=True,
        )
        new.objects.filter(pk__in=[row.pk for row in rows]).delete()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_credentials"), ("sessions", "0001_initial")]
    operations = [migrations.RunPython(move, move_back)]
