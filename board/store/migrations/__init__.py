"""Migrations of the read model (Alembic)."""
