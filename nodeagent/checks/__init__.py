"""Judges what was read: pure functions from facts to outcomes."""
