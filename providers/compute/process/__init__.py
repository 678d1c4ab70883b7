"""Compute as processes of this machine. Imports nothing here: each tenant's keeper would load it."""
