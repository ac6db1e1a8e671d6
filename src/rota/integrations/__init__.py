"""Rota as a guest in the frameworks that people write applications with."""
