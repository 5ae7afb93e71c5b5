from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    # The version before finds what waits by the other index as well, and sorts it.
    atomic = False

    dependencies = [
        ('conversations', '0015_queue_by_provider'),
    ]

    operations = [
        RemoveIndexConcurrently(model_name='message', name='message_queue'),
    ]
