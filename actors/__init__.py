"""The Ray actors: one per live tenant, and the supervisor. Apart from serve_app.py, only this package imports Ray."""
