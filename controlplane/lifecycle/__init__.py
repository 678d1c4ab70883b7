"""The rules, pure: they take rows and knowledge and return one decision. No I/O and no clock."""
