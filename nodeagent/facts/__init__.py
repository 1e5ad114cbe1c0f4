"""Reads one topic each from a machine; never judges."""
