#!/bin/sh
# Takes away what only the build needed: nothing of the host that built the
# image, and no cache, is in the result.
set -eu
cp /build/debian.org.sources /etc/apt/sources.list.d/debian.sources
rm -rf \
    /build \
    /tmp/* /var/tmp/* /root/.cache \
    /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old \
    /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old \
    /var/log/apt /var/log/alternatives.log /var/log/bootstrap.log /var/log/dpkg.log
