"""Sinks for what was found out."""
