"""This machine's installation: its home, its embedded Postgres, its Ray head and their processes."""
