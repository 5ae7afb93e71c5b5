from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('conversations', '0014_tally_cached'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='message',
            index=models.Index(
                condition=models.Q(('status', 'queued')), fields=['provider', 'queued_at'], name='message_line'
            ),
        ),
    ]
