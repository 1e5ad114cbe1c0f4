"""The few calls that we make to an API server."""
