"""The HTTP API, described in `docs/api.md`, under `/v1`, on FastAPI. Imports no ray: live actors are a port."""
