"""The `landlord` command."""
