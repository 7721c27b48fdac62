#!/bin/sh
# Installs the server of the major version given, and the paths the official
# image has.
set -eu
. /build/environment
export APT_CONFIG=/build/apt.conf DEBIAN_FRONTEND=noninteractive
major=$1

localedef --inputfile=en_US --force --charmap=UTF-8 en_US.UTF-8

# Debian's package takes over a user that is there; its own would get another uid.
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres

apt-get install --yes --no-install-recommends postgresql-common
# The entrypoint makes the cluster, in the volume.
echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
apt-get install --yes --no-install-recommends "postgresql-$major"
sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" "/usr/share/postgresql/$major/postgresql.conf.sample"
grep -q "^listen_addresses = '\*'" "/usr/share/postgresql/$major/postgresql.conf.sample"

mkdir -p /docker-entrypoint-initdb.d
rm -rf /var/lib/postgresql/* /etc/postgresql
install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql /var/lib/postgresql/data
install --directory --owner=postgres --group=postgres --mode=3777 /var/run/postgresql
install --mode=0755 /build/docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
