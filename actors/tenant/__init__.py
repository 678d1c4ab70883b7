"""The tenant's actor: one live owner of one tenant. Imports nothing here: the fork server loads the modules below."""
