import django.db.models.deletion
from django.db import migrations, models


def trigrams_create(apps, schema_editor):
    """Index free text in cells by its trigrams, where the extension is there (see 0005)."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        if cursor.fetchone():
            cursor.execute(
                "CREATE INDEX cell_text_trigrams ON rows_cell USING gin (text gin_trgm_ops) WHERE text IS NOT NULL"
            )


def pairs_index(apps, schema_editor):
    """Index the pairs on PostgreSQL, each as an element of an array: no extension is needed for that."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                "CREATE INDEX text_block_pairs ON rows_textblock USING gin (string_to_array(pairs, E'\\x1f'))"
            )


def index_forget(apps, schema_editor):
    """Indexes made before lack both: workers make them again, and filters read the rows until then.

    One that is being made begins anew.
    """
    if schema_editor.connection.vendor != "postgresql":
        return
    apps.get_model("rows", "IndexedColumn").objects.all().delete()
    for job in apps.get_model("projects", "Job").objects.filter(kind="index", state__in=["queued", "running"]):
        job.payload.pop("after", None)
        job.save(update_fields=["payload"])


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0005_languages"),
        ("rows", "0005_filters"),
    ]

    operations = [
        migrations.AddField(
            model_name="cell",
            name="text",
            field=models.TextField(null=True),
        ),
        migrations.CreateModel(
            name="TextBlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("first_number", models.PositiveIntegerField()),
                ("pairs", models.TextField()),
                (
                    "column",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="projects.column",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["column", "first_number"], name="text_block_by_row")],
            },
        ),
        migrations.RunPython(trigrams_create, migrations.RunPython.noop),
        migrations.RunPython(pairs_index, migrations.RunPython.noop),
        migrations.RunPython(index_forget, migrations.RunPython.noop),
    ]
