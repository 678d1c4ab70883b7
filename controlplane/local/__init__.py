"""This machine's installation: its home, its embedded Postgres, its Ray head and the processes they consist of."""
