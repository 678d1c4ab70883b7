"""Building blocks for providers, ours and third parties'. Knows no platform and no engine."""
