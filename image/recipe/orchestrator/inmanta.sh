#!/bin/sh
# Installs inmanta, in the version given, where the official image has it.
set -eu
. /build/environment
version=$1

groupadd --system --gid 995 inmanta
useradd --system --uid 997 --gid inmanta --home-dir /var/lib/inmanta --shell /bin/bash \
    --comment "Account used by the Inmanta daemons" inmanta

# The versions one release was tried with, where we have tried it.
constraints=/build/constraints-$version.txt
[ -e "$constraints" ] || : >"$constraints"

python3 -m venv /opt/inmanta
pip() { /opt/inmanta/bin/pip "$@" --no-cache-dir --disable-pip-version-check --progress-bar off --constraint "$constraints"; }
pip install --upgrade pip setuptools wheel
pip install "inmanta==$version"
# The parser writes its tables beside its code, which only root may do.
/opt/inmanta/bin/python -m inmanta.app >/dev/null 2>&1 || true

ln -s /opt/inmanta/bin/inmanta /opt/inmanta/bin/inmanta-cli /usr/bin/

install --directory /etc/inmanta /etc/inmanta/inmanta.d /etc/inmanta/logging /etc/inmanta/authorization
install --directory --owner=inmanta --group=inmanta /var/lib/inmanta /var/log/inmanta
policy=$(find /opt/inmanta/lib -name default_policy.rego)
[ -z "$policy" ] || install --mode=0644 "$policy" /etc/inmanta/authorization/policy.rego
install --mode=0644 /build/logging.yml /etc/inmanta/logging/server.yml
printf '[logging]\nserver = /etc/inmanta/logging/server.yml\n' >/etc/inmanta/inmanta.d/logging.cfg
