"""What the API answers, in the shapes of docs/openapi.json, made from rows; one file a noun."""
