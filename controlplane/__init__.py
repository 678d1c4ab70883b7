"""The rules, the store, the HTTP API and the command line of Landlord. Imports neither Ray nor any engine's SDK."""
