from django.db import migrations, models

import projects.models


class Migration(migrations.Migration):
    dependencies = [("projects", "0004_job_kinds_for_filters")]

    operations = [
        migrations.AddField(
            model_name="preference",
            name="language",
            field=models.CharField(blank=True, max_length=8),
        ),
        migrations.AddField(
            model_name="job",
            name="language",
            field=models.CharField(default=projects.models._language_now, max_length=8),
        ),
    ]
