from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # A trail of years is long, and events must not wait for the index.
    atomic = False

    dependencies = [
        ('accounts', '0018_retention_classes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='auditevent',
            index=models.Index(fields=['at'], name='audit_in_time'),
        ),
    ]
