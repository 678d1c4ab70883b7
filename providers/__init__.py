"""Workflow engines and compute platforms, each behind a port and an entry point."""
