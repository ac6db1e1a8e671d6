"""The first tables."""

from __future__ import annotations

from django.db import migrations

from rota.integrations.django.operations import UpgradeTables


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Version 1."""

    initial = True
    dependencies = ()
    operations = (UpgradeTables(1),)
