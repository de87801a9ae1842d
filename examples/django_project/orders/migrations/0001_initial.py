"""The initial migration."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create the table of orders."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("item", models.CharField(max_length=80)),
                ("placed", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    )
