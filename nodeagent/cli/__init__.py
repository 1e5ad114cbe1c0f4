"""Words in, exit code out; one module a command, loaded when it is called."""
