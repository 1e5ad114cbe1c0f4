"""Touches the machine: reports and obeys, decides nothing."""
