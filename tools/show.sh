#!/bin/sh
# show.sh WORD...: the command as a person would type it, what it prints, and its exit code.
cd "$(dirname "$0")/.." || exit 3
printf '\n$ nodeagent %s\n' "$*"
.venv/bin/nodeagent "$@"
code=$?
echo "(exit code $code)"
# Ready, not ready and cannot tell are answers; anything else is a failure to answer.
case $code in 0 | 1 | 4) ;; *) exit 1 ;; esac
