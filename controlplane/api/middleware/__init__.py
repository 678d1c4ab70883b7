"""ASGI middleware around the API: one concern a module."""
