"""What a provider may build on, ours and third parties'. Knows no platform and no engine."""
