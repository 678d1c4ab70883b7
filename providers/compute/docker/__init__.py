"""Compute on a Docker Engine: one container for each tenant."""
