"""Compute platforms. Each SDK is imported in its own file only, and siblings never import each other."""
