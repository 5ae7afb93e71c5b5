from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_report_subscriptions")]

    operations = [
        migrations.RemoveConstraint(model_name="usage", name="usage_once"),
        migrations.AddField(
            model_name="usage",
            name="cuboid",
            field=models.SmallIntegerField(default=31),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="usage",
            name="asked_buckets",
            field=ArrayField(models.SmallIntegerField(), default=list),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="usage",
            name="asked_counts",
            field=ArrayField(models.IntegerField(), default=list),
            preserve_default=False,
        ),
        migrations.AlterField(model_name="usage", name="persona", field=models.UUIDField(null=True)),
        migrations.AddConstraint(
            model_name="usage",
            constraint=models.UniqueConstraint(
                fields=("grain", "cuboid", "start", "version", "persona", "model", "language", "channel"),
                name="usage_once",
                nulls_distinct=False,
            ),
        ),
        migrations.RemoveConstraint(model_name="people", name="people_once"),
        migrations.AddField(model_name="people", name="version", field=models.UUIDField(null=True)),
        migrations.AddField(
            model_name="people",
            name="model",
            field=models.CharField(default="*", max_length=200),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="people",
            constraint=models.UniqueConstraint(
                fields=("grain", "start", "persona", "language", "channel", "version", "model"),
                name="people_once",
                nulls_distinct=False,
            ),
        ),
        # The next run adds up everything anew: there are no sums of cuboids yet.
        migrations.RunSQL("UPDATE analytics_rollupstate SET counted_until = NULL", migrations.RunSQL.noop),
    ]
