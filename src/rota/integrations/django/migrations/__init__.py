"""Django's migrations of Rota: one for each version of the tables."""
