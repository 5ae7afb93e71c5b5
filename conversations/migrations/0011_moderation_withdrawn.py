"""Replies can be withdrawn, points be reset, and every moderated message names its person."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

BATCH = 1000


def name_owners(apps: Any, schema_editor: Any) -> None:
    """Rows from before there were scores get the owner of their message."""
    items = apps.get_model("conversations", "ModerationItem").objects
    owner = apps.get_model("conversations", "Message").objects.filter(pk=OuterRef("message_id")).values("owner_id")
    while batch := list(items.filter(owner=None).values_list("pk", flat=True)[:BATCH]):
        items.filter(pk__in=batch).update(owner_id=Subquery(owner[:1]))


class Migration(migrations.Migration):
    atomic = False  # the rows in batches of their own, then the schema

    dependencies = [
        ("conversations", "0010_moderation_endpoint"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(name_owners, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="moderationitem",
            name="owner",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="moderationitem",
            name="counts",
            field=models.BooleanField(default=True, editable=False, verbose_name="counts"),
        ),
        migrations.AddField(
            model_name="moderationitem",
            name="withdrawn",
            field=models.TextField(blank=True, default="", editable=False),
            preserve_default=False,
        ),
    ]
