"""What Django is told of the application."""

from __future__ import annotations

from django.apps import AppConfig


class RotaConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """`'rota.integrations.django'` in `INSTALLED_APPS`."""

    name = "rota.integrations.django"
    label = "rota"
    verbose_name = "Rota"
