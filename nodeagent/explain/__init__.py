"""Explains every code and every check: pages written by hand, filled with the remedies."""
