"""What the API answers, in API.md's shapes, made from rows; one file a noun."""
