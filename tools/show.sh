#!/bin/sh
# show.sh WORD...: the command as a person would type it, what it prints, and its exit code.
cd "$(dirname "$0")/.." || exit 3
printf '\n$ nodeagent %s\n' "$*"
.venv/bin/nodeagent "$@"
code=$?
echo "(exit code $code)"
# Not ready and cannot tell are answers; only a program that could not do its work is a failure.
[ $code -ne 2 ] && [ $code -ne 3 ]
