#!/bin/sh
# Takes away what only the build needed: nothing of the host that built the
# image, and no cache, is in the result.
set -eu
rm -f /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/build
cp /build/debian.org.sources /etc/apt/sources.list.d/debian.sources

# What came with the base before the rules of packages.sh stood.
rm -rf /usr/share/groff /usr/share/info /usr/share/lintian /usr/share/locale/* /usr/share/man/*
find /usr/share/doc -depth \( -type f ! -name copyright -o -type d -empty \) -delete

rm -rf \
    /build \
    /tmp/* /var/tmp/* /root/.cache \
    /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old \
    /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old \
    /var/log/apt /var/log/alternatives.log /var/log/bootstrap.log /var/log/dpkg.log
