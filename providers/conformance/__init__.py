"""The contract tests that any provider must pass; third parties import them."""
