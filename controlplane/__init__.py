"""The rules, the store, the HTTP face and the command line of Landlord. Imports no Ray and no engine's SDK."""
