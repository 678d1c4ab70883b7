"""The Ray actors: one per live tenant, and the supervisor. With serve_app.py the only code that imports Ray."""
