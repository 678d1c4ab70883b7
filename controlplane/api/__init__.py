"""The HTTP face: what docs/api.md promises under `/v1`, on FastAPI. Imports no ray: live actors are a port."""
