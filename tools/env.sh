#!/bin/sh
# env.sh SET...: the virtual environment .venv with the locked packages of requirements/SET.txt.
# A set that is already installed as locked costs nothing. Says in one line what is missing.
set -eu
cd "$(dirname "$0")/.."

missing() { echo "$1 is missing; on Debian or Ubuntu: apt-get install $2" >&2; exit 1; }

command -v python3 >/dev/null || missing python3 python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "python3 is $(python3 -V | cut -d' ' -f2); nodeagent needs 3.11 or newer" >&2; exit 1; }
python3 -c 'import ensurepip, venv' 2>/dev/null || missing "python3's venv module" python3-venv

# Scripts in an environment name its place, so one that was moved is of no use; nor is one whose
# making was cut short.
if [ "$(cat .venv/made-at 2>/dev/null)" != "$PWD" ]; then
    echo "making .venv"
    rm -rf .venv
    python3 -m venv .venv
    pwd >.venv/made-at
fi
for set in "$@"; do
    lock=requirements/$set.txt
    mark=.venv/installed-$set
    if ! cmp -s "$lock" "$mark"; then
        echo "installing $lock"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r "$lock" || { echo "could not install $lock: is the network there?" >&2; exit 1; }
        cp "$lock" "$mark"
    fi
done
if ! cmp -s pyproject.toml .venv/installed-project; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable .
    cp pyproject.toml .venv/installed-project
fi
