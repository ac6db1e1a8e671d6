"""Rota as an application of a Django project: with it in `INSTALLED_APPS`, `manage.py migrate` makes the tables."""
