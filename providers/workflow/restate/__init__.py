"""The Restate engine: a durable handler that runs the steps."""
