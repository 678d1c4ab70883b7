"""The API's answers, made from rows; one file a noun."""
