"""Captured hosts: reading one exactly as a live host is read."""
