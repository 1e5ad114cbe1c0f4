"""The nouns: what was seen, what it means, and what was asked for."""
