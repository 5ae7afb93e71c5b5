from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0016_queue_in_one_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='request_id',
            field=models.CharField(max_length=64, null=True),
        ),
    ]
