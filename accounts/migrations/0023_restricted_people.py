from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('accounts', '0022_verdict_retention'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='user',
            index=models.Index(
                condition=models.Q(('restricted_at__isnull', False)), fields=['id'], name='restricted_people'
            ),
        ),
    ]
