#!/usr/bin/env bash
# Makes a database cluster in an empty $PGDATA, then becomes the server.
#
# Variables, as in the official image:
#   POSTGRES_PASSWORD           password of the superuser; needed unless the method below is trust
#   POSTGRES_USER               the superuser (postgres)
#   POSTGRES_DB                 the first database (the superuser's name)
#   POSTGRES_INITDB_ARGS        more arguments for initdb
#   POSTGRES_INITDB_WALDIR      where the write-ahead log goes ($PGDATA/pg_wal)
#   POSTGRES_HOST_AUTH_METHOD   how clients over the network prove who they are (scram-sha-256)
# Each of the first four may come from a file instead: POSTGRES_PASSWORD_FILE, ...
# Scripts in /docker-entrypoint-initdb.d run once, in order, on the new cluster:
# *.sh (executed, or sourced when not executable), *.sql, *.sql.gz, *.sql.xz, *.sql.zst.
#
# A cluster is being made for as long as $PGDATA/.initializing exists. What is
# found beside it at the next start was cut short before any client could reach
# it, so it is made anew.
set -Eeuo pipefail

readonly unfinished=.initializing
readonly temporary_name=docker-entrypoint-initializing

say() { printf 'docker-entrypoint: %s\n' "$*"; }
die() { say "$@" >&2; exit 1; }

# from_file NAME [DEFAULT] exports NAME: its value, the content of the file NAME_FILE, or the default.
from_file() {
	local name=$1 file=${1}_FILE
	local value=${!name:-}
	if [[ -n ${!file:-} ]]; then
		[[ -z $value ]] || die "$name and $file are both set: keep one of them"
		[[ -r ${!file} ]] || die "$file: ${!file} cannot be read by $(id -un)"
		value=$(<"${!file}")
		unset "$file"
	fi
	export "$name"="${value:-${2:-}}"
}

read_settings() {
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER postgres
	from_file POSTGRES_DB "$POSTGRES_USER"
	from_file POSTGRES_INITDB_ARGS
	: "${POSTGRES_HOST_AUTH_METHOD:=}" "${POSTGRES_INITDB_WALDIR:=}"
	export POSTGRES_HOST_AUTH_METHOD POSTGRES_INITDB_WALDIR
}

# asks_only says whether the arguments make the server print something and leave.
asks_only() {
	local argument
	for argument; do
		case $argument in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
	done
	return 1
}

has_cluster() { [[ -s $PGDATA/PG_VERSION && ! -e $PGDATA/$unfinished ]]; }

# become_postgres gives the directories to postgres, and starts this script again as that user.
become_postgres() {
	mkdir -p "$PGDATA" "${POSTGRES_INITDB_WALDIR:-$PGDATA}" /var/run/postgresql
	local directory
	for directory in "$PGDATA" "${POSTGRES_INITDB_WALDIR:-$PGDATA}" /var/run/postgresql; do
		find "$directory" ! -user postgres -exec chown --no-dereference postgres {} +
	done
	# The server takes no directory that others may look into.
	chmod u=rwx,g-w,o= "$PGDATA"
	chmod 3775 /var/run/postgresql
	export HOME=/var/lib/postgresql
	exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all "${BASH_SOURCE[0]}" "$@"
}

# empty DIRECTORY [NAME] removes everything in it, except NAME.
empty() { find "$1" -mindepth 1 -maxdepth 1 ! -name "${2:-}" -exec rm -rf {} +; }

# clear_unfinished removes what an initialisation that was cut short left. It
# gives up where another server has been started on it since: that one may hold
# somebody's data.
clear_unfinished() {
	if [[ -e $PGDATA/postmaster.opts ]] && ! grep -q "$temporary_name" "$PGDATA/postmaster.opts"; then
		die "$PGDATA was left half initialised, and another server has been started on it since." \
			"Remove $PGDATA/$unfinished to use it as it is, or empty the volume to start over."
	fi
	say "the last initialisation did not finish; starting over"
	empty "$PGDATA" "$unfinished"
	empty "$PGDATA/$unfinished"
	if [[ -n $POSTGRES_INITDB_WALDIR ]]; then empty "$POSTGRES_INITDB_WALDIR"; fi
}

check_directory() {
	[[ -w $PGDATA ]] || die "$PGDATA cannot be written by $(id -un) (uid $(id -u)): chown it to that user, or start the container as root"
	getent passwd "$(id -u)" >/dev/null || die "uid $(id -u) has no name in /etc/passwd, which initdb needs: use 999 (postgres)"
	if [[ -n $(ls -A "$PGDATA") && ! -e $PGDATA/$unfinished ]]; then
		die "$PGDATA is not empty and holds no database cluster: $(ls -A "$PGDATA" | head -n 3 | tr '\n' ' ')... Give an empty volume, or set PGDATA to a directory inside it."
	fi
}

check_password() {
	if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
		die "no password for the superuser $POSTGRES_USER: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" \
			"(or POSTGRES_HOST_AUTH_METHOD=trust, which lets anybody in without one)"
	fi
	if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
		say "POSTGRES_HOST_AUTH_METHOD=trust: whoever reaches the port is superuser, without a password" >&2
	fi
}

# docker_process_sql runs psql on the new cluster; scripts that are sourced may call it.
docker_process_sql() {
	local database=()
	if [[ -n ${POSTGRES_DB:-} ]]; then database=(--dbname "$POSTGRES_DB"); fi
	PGHOST='' PGHOSTADDR='' PGPASSWORD=$POSTGRES_PASSWORD \
		psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "${database[@]}" "$@"
}

run_scripts() {
	local script
	for script in /docker-entrypoint-initdb.d/*; do
		case $script in
		*.sh)
			say "running $script"
			if [[ -x $script ]]; then
				"$script"
			else
				# shellcheck disable=SC1090
				. "$script"
			fi
			;;
		*.sql) say "running $script" && docker_process_sql -f "$script" ;;
		*.sql.gz) say "running $script" && gunzip -c "$script" | docker_process_sql ;;
		*.sql.xz) say "running $script" && xz -dc "$script" | docker_process_sql ;;
		*.sql.zst) say "running $script" && zstd -dcq "$script" | docker_process_sql ;;
		'/docker-entrypoint-initdb.d/*') ;;
		*) say "not running $script: neither .sh nor .sql" ;;
		esac
	done
}

# initialise makes the cluster; its arguments are the server's.
initialise() {
	mkdir -p "$PGDATA/$unfinished"
	local cluster=$PGDATA/$unfinished/cluster
	local waldir=()
	if [[ -n $POSTGRES_INITDB_WALDIR ]]; then waldir=(--waldir "$POSTGRES_INITDB_WALDIR"); fi
	# initdb wants a directory to itself. POSTGRES_INITDB_ARGS is quoted as for a shell.
	eval 'initdb --pgdata="$cluster" --username="$POSTGRES_USER" --auth-local=trust --auth-host=scram-sha-256 --no-instructions \
		--pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") "${waldir[@]}" '"$POSTGRES_INITDB_ARGS"
	chmod --reference="$cluster" "$PGDATA"
	find "$cluster" -mindepth 1 -maxdepth 1 -exec mv --target-directory="$PGDATA" {} +
	rmdir "$cluster"

	printf '\n# Every address, as the port is published by the container engine.\nhost all all all %s\n' \
		"${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"

	# Nobody can connect to this server but what runs in here: its socket only.
	local arguments=("$@" -c listen_addresses= -c "cluster_name=$temporary_name")
	NOTIFY_SOCKET='' pg_ctl --pgdata="$PGDATA" --options="${arguments[*]@Q}" --silent --wait start
	if [[ $POSTGRES_DB != postgres ]]; then
		POSTGRES_DB=postgres docker_process_sql -v name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";' >/dev/null
	fi
	run_scripts
	pg_ctl --pgdata="$PGDATA" --mode=fast --silent --wait stop

	sync "$PGDATA"
	rmdir "$PGDATA/$unfinished"
	sync "$PGDATA"
	say "the database cluster is ready"
}

main() {
	if [[ ${1:-} == -* ]]; then set -- postgres "$@"; fi
	if [[ ${1:-} != postgres ]] || asks_only "$@"; then exec "$@"; fi

	: "${PGDATA:=/var/lib/postgresql/data}"
	export PGDATA
	if ! has_cluster; then read_settings; fi
	if [[ $(id -u) == 0 ]]; then become_postgres "$@"; fi

	if has_cluster; then
		local major
		major=$(<"$PGDATA/PG_VERSION")
		[[ $major == "$PG_MAJOR" ]] || die "the data in $PGDATA was made by PostgreSQL $major and this is PostgreSQL $PG_MAJOR, which cannot read it." \
			"Use an image of PostgreSQL $major; to move to $PG_MAJOR, dump there and restore into an empty volume."
	else
		check_directory
		check_password
		if [[ -e $PGDATA/$unfinished ]]; then clear_unfinished; fi
		# As a job, so that a stop signal is heard at once: leaving ends everything
		# in the container, and the next start begins anew.
		initialise "${@:2}" &
		trap 'say "stopped while initialising" >&2; exit 143' INT TERM
		wait $! || die "initialising $PGDATA failed; the lines above say why"
		trap - INT TERM
	fi

	unset "${!POSTGRES_@}"
	exec "$@"
}

main "$@"
