#!/bin/sh
# Installs Debian packages whose program is missing: debian_packages.sh PROGRAM:PACKAGE ...
# Without root, or off Debian, it only names what is missing; the tests that need it then say so.
set -eu
missing=
for pair in "$@"; do
    program=${pair%%:*}
    package=${pair#*:}
    command -v "$program" >/dev/null 2>&1 && continue
    # Debian keeps a PostgreSQL server's programs off the PATH, in a folder a version.
    [ "$program" = initdb ] && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && continue
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed here:$missing (as root on Debian: apt-get install$missing)"
    exit 0
fi
echo "installing$missing from Debian's packages ..."
export DEBIAN_FRONTEND=noninteractive
# RUNLEVEL=1 keeps the packages' own services from starting: the tests start a private server.
apt-get update -qq
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
