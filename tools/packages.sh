#!/bin/sh
# packages.sh FILE...: the Debian packages that the files name, one a line, # for comments.
# Lists what it will install before it installs anything; installed ones cost nothing.
set -eu

[ "$(id -u)" = 0 ] ||
    { echo "the tests on real parts need root; make test-unit needs none" >&2; exit 1; }
command -v apt-get >/dev/null ||
    { echo "apt-get is missing: only Debian and Ubuntu are set up by this" >&2; exit 1; }
wanted=$(sed 's/#.*//' "$@" | tr -s ' \n' ' ')
absent=
for name in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
        absent="$absent $name"
done
[ -n "$absent" ] || exit 0
echo "will install these Debian packages:$absent"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends --yes $absent >/dev/null
