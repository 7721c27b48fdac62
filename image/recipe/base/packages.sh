#!/bin/sh
# Brings the base up to date and installs the Debian packages named as arguments.
# /build/apt.conf and /build/debian.sources say how this host reaches a mirror;
# tidy.sh puts the public one back.
set -eu
. /build/environment
export APT_CONFIG=/build/apt.conf DEBIAN_FRONTEND=noninteractive

rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
cp /build/debian.sources /etc/apt/sources.list.d/debian.sources

# Documentation and translations nobody reads in a container; licences stay.
cat >/etc/dpkg/dpkg.cfg.d/docker <<'EXCLUDES'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
EXCLUDES
# A build that is cut short is thrown away: no need to wait for the disk.
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/build

apt-get update
apt-get upgrade --yes
apt-get install --yes --no-install-recommends "$@"
