from django.db import migrations, models

import projects.models


class Migration(migrations.Migration):
    dependencies = [("projects", "0003_preference")]

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
