"""The contract tests that any provider must pass; third parties import them."""

import pytest

# Must come before the import of the module itself, so that a failed assert shows its values.
pytest.register_assert_rewrite(
    "providers.conformance.compute",
    "providers.conformance.compute_capabilities",
    "providers.conformance.compute_silent",
)
