"""The agent: look, judge and publish, again and again."""
