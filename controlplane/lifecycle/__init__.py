"""The rules, pure: rows and knowledge in, one decision out. No I/O and no clock."""
