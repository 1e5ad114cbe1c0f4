"""Judgements as a person reads them, and as a program does."""
