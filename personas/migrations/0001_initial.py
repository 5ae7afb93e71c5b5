import chatbot_project.lib.ids
import django.core.validators
import django.db.models.deletion
import personas.validators
from django.conf import settings
from django.db import migrations, models

# A published version is what conversations were held under. Only its author may still change, to null, when that
# person is erased. ERRCODE 23001 (restrict_violation) reaches Django as IntegrityError. TRUNCATE is not refused: the
# product never issues it, and test databases are emptied with it.
REFUSE_CHANGE = [
    """
    CREATE FUNCTION personas_refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            RAISE EXCEPTION 'published persona version % cannot be deleted', OLD.id USING ERRCODE = '23001';
        END IF;
        IF to_jsonb(NEW) - 'author_id' IS DISTINCT FROM to_jsonb(OLD) - 'author_id' THEN
            RAISE EXCEPTION 'published persona version % cannot be changed', OLD.id USING ERRCODE = '23001';
        END IF;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER personas_published_is_immutable BEFORE UPDATE OR DELETE ON personas_personaversion
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION personas_refuse_published_change()
    """,
]
ALLOW_CHANGE = [
    "DROP TRIGGER personas_published_is_immutable ON personas_personaversion",
    "DROP FUNCTION personas_refuse_published_change()",
]


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Persona',
            fields=[
                ('id', models.UUIDField(default=chatbot_project.lib.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('slug', models.SlugField(max_length=60, unique=True, verbose_name='slug')),
                ('position', models.PositiveIntegerField(default=0, help_text='Lower numbers stand first.', verbose_name='position')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('archived_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='archived')),
            ],
            options={
                'verbose_name': 'persona',
                'verbose_name_plural': 'personas',
                'ordering': ['position', 'slug'],
                'permissions': [('publish_persona', 'Can publish, roll back and archive personas')],
            },
        ),
        migrations.CreateModel(
            name='PersonaVersion',
            fields=[
                ('id', models.UUIDField(default=chatbot_project.lib.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(blank=True, editable=False, null=True, verbose_name='number')),
                ('name', models.CharField(max_length=60, validators=[personas.validators.validate_line], verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=200, validators=[personas.validators.validate_line], verbose_name='description')),
                ('emoji', models.CharField(blank=True, max_length=16, validators=[personas.validators.validate_emoji], verbose_name='emoji')),
                ('colour', models.CharField(choices=[('slate', 'Slate'), ('red', 'Red'), ('amber', 'Amber'), ('green', 'Green'), ('teal', 'Teal'), ('blue', 'Blue'), ('violet', 'Violet'), ('pink', 'Pink')], default='slate', max_length=10, verbose_name='colour')),
                ('greeting', models.TextField(blank=True, help_text='Shown above an empty conversation. Markdown.', validators=[personas.validators.validate_text, django.core.validators.MaxLengthValidator(2000)], verbose_name='greeting')),
                ('suggestions', models.JSONField(blank=True, default=list, validators=[personas.validators.validate_suggestions], verbose_name='suggested first questions')),
                ('system_prompt', models.TextField(help_text='Goes before every conversation. Write no secret into it: a model can be made to repeat it.', validators=[personas.validators.validate_text, django.core.validators.MaxLengthValidator(20000)], verbose_name='system prompt')),
                ('model', models.CharField(blank=True, help_text="provider/name; empty means this installation's default model.", max_length=200, validators=[personas.validators.validate_model_ref], verbose_name='model')),
                ('temperature', models.FloatField(default=0.7, validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(2.0)], verbose_name='temperature')),
                ('max_reply_tokens', models.PositiveIntegerField(default=512, validators=[django.core.validators.MinValueValidator(16), django.core.validators.MaxValueValidator(131072)], verbose_name='longest reply (tokens)')),
                ('context_budget', models.PositiveIntegerField(default=3072, help_text='How much of the prompt and the conversation goes to the model.', validators=[django.core.validators.MinValueValidator(256), django.core.validators.MaxValueValidator(2000000)], verbose_name='context budget (tokens)')),
                ('visibility', models.CharField(choices=[('guests', 'Everyone, guests included'), ('users', 'Signed-in people'), ('staff', 'Staff')], default='guests', max_length=10, verbose_name='visible to')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('published_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='published')),
                ('author', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='author')),
                ('persona', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='personas.persona', verbose_name='persona')),
            ],
            options={
                'verbose_name': 'persona version',
                'verbose_name_plural': 'persona versions',
                'ordering': ['persona', models.OrderBy(models.F('number'), descending=True, nulls_first=True)],
            },
        ),
        migrations.AddField(
            model_name='persona',
            name='published',
            field=models.OneToOneField(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='published_as', to='personas.personaversion', verbose_name='published version'),
        ),
        migrations.AddConstraint(
            model_name='personaversion',
            constraint=models.UniqueConstraint(fields=('persona', 'number'), name='personas_version_number_once'),
        ),
        migrations.AddConstraint(
            model_name='personaversion',
            constraint=models.UniqueConstraint(condition=models.Q(('published_at__isnull', True)), fields=('persona',), name='personas_one_draft'),
        ),
        migrations.AddConstraint(
            model_name='personaversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('number__isnull', True), ('published_at__isnull', True)), models.Q(('number__gte', 1), ('published_at__isnull', False)), _connector='OR'), name='personas_number_when_published'),
        ),
        migrations.AddConstraint(
            model_name='personaversion',
            constraint=models.CheckConstraint(condition=models.Q(('temperature__gte', 0), ('temperature__lte', 2)), name='personas_temperature_range'),
        ),
        migrations.AddConstraint(
            model_name='personaversion',
            constraint=models.CheckConstraint(condition=models.Q(('visibility__in', ['guests', 'users', 'staff'])), name='personas_visibility_known'),
        ),
        migrations.RunSQL(REFUSE_CHANGE, ALLOW_CHANGE),
    ]
