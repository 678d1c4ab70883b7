"""The HTTP face: what API.md promises under `/v1`, on FastAPI. Imports no ray: live actors are a port."""
