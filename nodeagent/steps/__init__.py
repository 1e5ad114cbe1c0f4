"""Does steps, one at a time: nothing here decides whether a step is needed."""
