// Package settings is every setting of the deployment, once: its name, its
// default, which compose file uses it, what it does and which values it takes.
// The README's table and the checks before `up` both come from here.
package settings

// Setting is one environment variable that the compose files interpolate.
type Setting struct {
	// Name is the variable's name.
	Name string
	// Default is what the compose files use when it is unset or empty; "" where
	// there is none.
	Default string
	// UsedBy is the compose file that reads it; "all" where every one does.
	UsedBy string
	// Description is one sentence, for the README.
	Description string
	// Secret values are never printed.
	Secret bool
	// Check says what is wrong with a value and what to write instead; the
	// first answer is empty when nothing is. Empty values are never checked:
	// they mean the default. Nil takes anything.
	Check func(value string) (what, fix string)
}

// Names of the settings that code asks for.
const (
	OrchestratorImage = "INMANTA_ORCHESTRATOR_IMAGE"
	OrchestratorIP    = "INMANTA_ORCHESTRATOR_IP"
	OrchestratorPort  = "INMANTA_ORCHESTRATOR_PORT"
	PostgreSQLVersion = "POSTGRESQL_VERSION"
	PostgreSQLImage   = "POSTGRESQL_IMAGE"
	DatabasePassword  = "INMANTA_DATABASE_PASSWORD"
	ReplicationSecret = "INMANTA_DATABASE_REPLICATION_PASSWORD"
	DatabaseWhenAlone = "INMANTA_DATABASE_WHEN_ALONE"
	DatabaseIP        = "INMANTA_DATABASE_IP"
	DatabasePort      = "INMANTA_DATABASE_PORT"
	DatabaseAgentPort = "INMANTA_DATABASE_AGENT_PORT"
	PeerHost          = "INMANTA_DATABASE_PEER_HOST"
	PeerPort          = "INMANTA_DATABASE_PEER_PORT"
	PeerAgentPort     = "INMANTA_DATABASE_PEER_AGENT_PORT"
	PeerSource        = "INMANTA_DATABASE_PEER_SOURCE"
	NamePrefix        = "INMANTA_NAME"
	AuthorizedKeys    = "INMANTA_AUTHORIZED_KEYS"
	SSHSidecarIP      = "INMANTA_SSH_SIDECAR_IP"
	SSHSidecarPort    = "INMANTA_SSH_SIDECAR_PORT"

	LogrotateSchedule     = "INMANTA_LOGROTATE_SCHEDULE"
	LogrotateSize         = "INMANTA_LOGROTATE_SIZE"
	LogrotateKeep         = "INMANTA_LOGROTATE_KEEP"
	LogrotateMaxAge       = "INMANTA_LOGROTATE_MAX_AGE"
	LogrotateMaxTotal     = "INMANTA_LOGROTATE_MAX_TOTAL"
	LogrotateCompression  = "INMANTA_LOGROTATE_COMPRESSION"
	LogrotatePatterns     = "INMANTA_LOGROTATE_PATTERNS"
	LogrotateTimezone     = "INMANTA_LOGROTATE_TIMEZONE"
	LogrotateCopytruncate = "INMANTA_LOGROTATE_COPYTRUNCATE"

	DBDumpSchedule = "INMANTA_DB_DUMP_SCHEDULE"
	DBDumpKeep     = "INMANTA_DB_DUMP_KEEP"
	DBDumpMaxAge   = "INMANTA_DB_DUMP_MAX_AGE"
	DBDumpMaxTotal = "INMANTA_DB_DUMP_MAX_TOTAL"
	DBDumpTimezone = "INMANTA_DB_DUMP_TIMEZONE"
	DBDumpFolder   = "INMANTA_DB_DUMP_FOLDER"

	DBArchiveSchedule = "INMANTA_DB_ARCHIVE_SCHEDULE"
	DBArchiveKeep     = "INMANTA_DB_ARCHIVE_KEEP"
	DBArchiveFolder   = "INMANTA_DB_ARCHIVE_FOLDER"

	ModuleRepoURL     = "INMANTA_MODULE_REPO_URL"
	ModuleRepoBranch  = "INMANTA_MODULE_REPO_BRANCH"
	PytestArguments   = "INMANTA_PYTEST_ARGUMENTS"
	ModuleRepoToken   = "INMANTA_MODULE_REPO_TOKEN"
	ModuleRepoKey     = "INMANTA_MODULE_REPO_SSH_KEY"
	ModuleRepoHosts   = "INMANTA_MODULE_REPO_KNOWN_HOSTS"
	CABundle          = "INMANTA_CA_BUNDLE"
	OfflineFolder     = "INMANTA_OFFLINE_FOLDER"
	PipIndexURL       = "PIP_INDEX_URL"
	PipExtraIndexURL  = "PIP_EXTRA_INDEX_URL"
	CodeServerIP      = "INMANTA_CODE_SERVER_IP"
	CodeServerPort    = "INMANTA_CODE_SERVER_PORT"
	CodeServerSecret  = "INMANTA_CODE_SERVER_PASSWORD"
	CodeServerLogin   = "INMANTA_CODE_SERVER_LOGIN"
	CodeServerNames   = "INMANTA_CODE_SERVER_NAMES"
	CodeServerCert    = "INMANTA_CODE_SERVER_CERTIFICATE"
	CodeServerKey     = "INMANTA_CODE_SERVER_KEY"
	CodeServerVSIX    = "INMANTA_CODE_SERVER_EXTENSIONS"
	CodeServerTarball = "INMANTA_CODE_SERVER_TARBALL"
	CodeServerSHA256  = "INMANTA_CODE_SERVER_SHA256"
)

// onTwoHosts is the file of one of two machines; docker-compose.db-standby.yml, on
// the other, takes the same settings.
const onTwoHosts = "docker-compose.db-primary.yml"

// All are the settings, in the order of the README's table.
var All = []Setting{
	{
		Name: OrchestratorImage, Default: "ghcr.io/inmanta/orchestrator:latest", UsedBy: "all", Check: image,
		Description: "Which container image the orchestrator (and the sidecars) use.",
	},
	{
		Name: OrchestratorIP, Default: "127.0.0.1", UsedBy: "docker-compose.yml", Check: ip,
		Description: "On which ip of the **host** the orchestrator api is made available.",
	},
	{
		Name: OrchestratorPort, Default: "8888", UsedBy: "docker-compose.yml", Check: port,
		Description: "On which port of the **host** the orchestrator api is made available.",
	},
	{
		Name: PostgreSQLVersion, Default: "16", UsedBy: "docker-compose.yml", Check: postgreSQLVersion,
		Description: "The PostgreSQL version of the db container; it should match the one required by the orchestrator version in use.",
	},
	{
		Name: PostgreSQLImage, Default: "postgres:${POSTGRESQL_VERSION:-16}", UsedBy: "docker-compose.yml", Check: image,
		Description: "Which container image the database uses, when it is not the official one of that version (a mirror, or a locally built one).",
	},
	{
		Name: DatabasePassword, Default: "inmanta", UsedBy: "docker-compose.yml", Check: password, Secret: true,
		Description: "The password of the database user `inmanta`. `inmanta-docker init` generates one. An existing database volume keeps the password it was made with.",
	},
	{
		Name: NamePrefix, Default: "inmanta", UsedBy: "all", Check: namePrefix,
		Description: "Prefix of every container's name, so that two deployments fit on one host.",
	},
	{
		Name: AuthorizedKeys, UsedBy: "docker-compose.ssh.yml",
		Description: "The public keys, new-line separated, that may log in to the ssh sidecar as the inmanta user.",
	},
	{
		Name: SSHSidecarIP, Default: "127.0.0.1", UsedBy: "docker-compose.ssh.yml", Check: ip,
		Description: "On which ip of the **host** the ssh sidecar is made available.",
	},
	{
		Name: SSHSidecarPort, Default: "2222", UsedBy: "docker-compose.ssh.yml", Check: port,
		Description: "On which port of the **host** the ssh sidecar is made available.",
	},
	{
		Name: LogrotateSchedule, Default: "daily", UsedBy: "docker-compose.logrotate.yml",
		Description: "When logs are rotated: `hourly`, `daily`, `weekly`, `monthly`, `yearly`, or `size` for only when they are large.",
	},
	{
		Name: LogrotateSize, UsedBy: "docker-compose.logrotate.yml",
		Description: "A log larger than this is rotated whatever the schedule: `100k`, `10M`, `1G`.",
	},
	{
		Name: LogrotateKeep, Default: "10", UsedBy: "docker-compose.logrotate.yml",
		Description: "How many archives of each log are kept; those of one hour, day, … of the schedule count once.",
	},
	{
		Name: LogrotateMaxAge, UsedBy: "docker-compose.logrotate.yml",
		Description: "After how many days an archive is removed.",
	},
	{
		Name: LogrotateMaxTotal, UsedBy: "docker-compose.logrotate.yml",
		Description: "How large all archives together may be (`500M`, `10G`); the oldest go first.",
	},
	{
		Name: LogrotateCompression, Default: "gzip", UsedBy: "docker-compose.logrotate.yml",
		Description: "`gzip`, `zstd` or `none`; a level may follow: `gzip:9`, `zstd:6`.",
	},
	{
		Name: LogrotatePatterns, Default: "*.log *.out *.err", UsedBy: "docker-compose.logrotate.yml",
		Description: "Which files of the log directory are logs, blank-separated.",
	},
	{
		Name: LogrotateTimezone, Default: "UTC", UsedBy: "docker-compose.logrotate.yml",
		Description: "Where a day begins at midnight: the name of a time zone, as `Europe/Brussels`.",
	},
	{
		Name: LogrotateCopytruncate, Default: "no", UsedBy: "docker-compose.logrotate.yml",
		Description: "`yes` copies and truncates a log that nothing else can be done about, which **loses** what is written meanwhile.",
	},
	{
		Name: ModuleRepoURL, UsedBy: "docker-compose.init.yml",
		Description: "The url of the git repo containing the init test case.",
	},
	{
		Name: ModuleRepoBranch, Default: "master", UsedBy: "docker-compose.init.yml",
		Description: "The branch of the git repo containing the init test case.",
	},
	{
		Name: PytestArguments, Default: "tests", UsedBy: "docker-compose.init.yml",
		Description: "The arguments to give to pytest when running the initialization tests.",
	},
	{
		Name: ModuleRepoToken, UsedBy: "docker-compose.init.yml", Check: password, Secret: true,
		Description: "The token or password for that repo over https; the user, where the host wants one, goes into the url.",
	},
	{
		Name: ModuleRepoKey, UsedBy: "docker-compose.init.yml", Secret: true,
		Description: "The private key for that repo over ssh, without a passphrase: the whole file, between single quotes.",
	},
	{
		Name: ModuleRepoHosts, UsedBy: "docker-compose.init.yml",
		Description: "The host keys of that repo's host, as lines of a known_hosts file (`ssh-keyscan`); over ssh, no other is believed.",
	},
	{
		Name: CABundle, Default: "/dev/null", UsedBy: "docker-compose.init.yml",
		Description: "A file of the **host** with the certificate authorities that the init sidecar and the orchestrator's own installations believe, in PEM; the images' own where it is not set.",
	},
	{
		Name: OfflineFolder, Default: "/dev/null", UsedBy: "docker-compose.init.yml",
		Description: "A folder of the **host** that takes the place of the network: wheels in `wheels/`, and repositories that the url names as `/srv/inmanta-offline/…`.",
	},
	{
		Name: PipIndexURL, UsedBy: "docker-compose.init.yml", Check: indexURLs,
		Description: "The package index that the init sidecar and the orchestrator's own installations use, in place of PyPI.",
	},
	{
		Name: PipExtraIndexURL, UsedBy: "docker-compose.init.yml", Check: indexURLs,
		Description: "Further package indexes, separated by spaces.",
	},
	{
		Name: "UV_DEFAULT_INDEX", UsedBy: "docker-compose.init.yml", Check: indexURLs,
		Description: "The package index of tests that install with uv.",
	},
	{
		Name: "UV_INDEX", UsedBy: "docker-compose.init.yml", Check: indexURLs,
		Description: "Further package indexes of tests that install with uv, separated by spaces.",
	},
	{
		Name: "HTTP_PROXY", UsedBy: "docker-compose.init.yml", Check: proxy,
		Description: "The proxy through which the init sidecar and the orchestrator's own installations reach http urls.",
	},
	{
		Name: "HTTPS_PROXY", UsedBy: "docker-compose.init.yml", Check: proxy,
		Description: "The same for https urls.",
	},
	{
		Name: "NO_PROXY", UsedBy: "docker-compose.init.yml",
		Description: "The hosts that are reached without a proxy, separated by commas.",
	},
	{
		Name: ReplicationSecret, Default: "inmanta", UsedBy: "docker-compose.db-replica.yml", Check: password, Secret: true,
		Description: "What the two databases know each other by. `inmanta-docker init` generates one. It may be changed at any time: `up` gives it to both.",
	},
	{
		Name: DatabaseWhenAlone, Default: "wait", UsedBy: "docker-compose.db-replica.yml", Check: whenAlone,
		Description: "What commits do while one of the two databases is away: `wait`, or `degrade`: they are stored by one alone, and are **lost** with it.",
	},
	{
		Name: DatabaseIP, Default: "127.0.0.1", UsedBy: onTwoHosts, Check: ip,
		Description: "On which ip of the **host** its database is made available to the other one of two machines.",
	},
	{
		Name: DatabasePort, Default: "5432", UsedBy: onTwoHosts, Check: port,
		Description: "On which port of the **host** that is.",
	},
	{
		Name: DatabaseAgentPort, Default: "5433", UsedBy: onTwoHosts, Check: port,
		Description: "On which port of the **host** the other machine asks how its database is.",
	},
	{
		Name: PeerHost, UsedBy: onTwoHosts, Check: peerHost,
		Description: "The name or ip of the other machine, as the databases here reach it; an IPv6 address in brackets.",
	},
	{
		Name: PeerPort, Default: "5432", UsedBy: onTwoHosts, Check: port,
		Description: "The `INMANTA_DATABASE_PORT` of the other machine.",
	},
	{
		Name: PeerAgentPort, Default: "5433", UsedBy: onTwoHosts, Check: port,
		Description: "The `INMANTA_DATABASE_AGENT_PORT` of the other machine.",
	},
	{
		Name: PeerSource, UsedBy: onTwoHosts, Check: peerSource,
		Description: "The network that replication is taken from, as `10.0.0.2/32`, where the other machine does not connect from its own address.",
	},
	{
		Name: DBDumpSchedule, Default: "daily", UsedBy: "docker-compose.db-dump.yml",
		Description: "When the database is dumped: `hourly`, `daily`, `weekly`, `monthly` or `yearly`; a day may follow, as `weekly 1` (Monday) or `monthly 15`.",
	},
	{
		Name: DBDumpKeep, Default: "10", UsedBy: "docker-compose.db-dump.yml",
		Description: "How many dumps are kept; `-1` keeps all.",
	},
	{
		Name: DBDumpMaxAge, UsedBy: "docker-compose.db-dump.yml",
		Description: "After how many days a dump is removed, once there is a newer one.",
	},
	{
		Name: DBDumpMaxTotal, UsedBy: "docker-compose.db-dump.yml",
		Description: "How large all dumps together may be (`500M`, `10G`); the oldest go first, the newest never.",
	},
	{
		Name: DBDumpTimezone, Default: "UTC", UsedBy: "docker-compose.db-dump.yml",
		Description: "Where a day begins at midnight: the name of a time zone, as `Europe/Brussels`.",
	},
	{
		Name: DBDumpFolder, Default: "./db-dumps", UsedBy: "docker-compose.db-dump.yml",
		Description: "The folder of the **host** for the dumps; one on another disk survives the loss of this one.",
	},
	{
		Name: DBArchiveSchedule, Default: "weekly", UsedBy: "docker-compose.db-archive.yml",
		Description: "When the archive of the database gets a base backup: `hourly`, `daily`, `weekly`, `monthly` or `yearly`; a day may follow, as `weekly 1` (Monday). Days begin at midnight UTC.",
	},
	{
		Name: DBArchiveKeep, Default: "2", UsedBy: "docker-compose.db-archive.yml",
		Description: "How many base backups are kept, with the log since the oldest of them; `-1` keeps all.",
	},
	{
		Name: DBArchiveFolder, Default: "./db-archive", UsedBy: "docker-compose.db-archive.yml",
		Description: "The folder of the **host** for the archive; one on another disk survives the loss of the database's.",
	},
	{
		Name: CodeServerIP, Default: "127.0.0.1", UsedBy: "docker-compose.code.yml", Check: ip,
		Description: "On which ip of the **host** the code server sidecar is made available.",
	},
	{
		Name: CodeServerPort, Default: "8080", UsedBy: "docker-compose.code.yml", Check: port,
		Description: "On which port of the **host** the code server sidecar is made available.",
	},
	{
		Name: CodeServerSecret, UsedBy: "docker-compose.code.yml", Check: codeServerPassword, Secret: true,
		Description: "The password that lets somebody in to the code server. `inmanta-docker init` generates one; where there is none, the sidecar makes one up, and `docker exec inmanta-code-sidecar inmanta-sidecar code password` shows it.",
	},
	{
		Name: CodeServerLogin, Default: "password", UsedBy: "docker-compose.code.yml", Check: codeServerLogin,
		Description: "`password`, or `none`: whoever reaches the code server is let in, which takes an ip that only the host itself has.",
	},
	{
		Name: CodeServerNames, UsedBy: "docker-compose.code.yml", Check: hostNames,
		Description: "The host names, separated by commas, by which browsers may ask for the code server, besides addresses, `localhost` and those of its certificate.",
	},
	{
		Name: CodeServerCert, Default: "/dev/null", UsedBy: "docker-compose.code.yml",
		Description: "A file of the **host** with the certificate (and those that lead to its authority) with which the code server speaks https, in PEM.",
	},
	{
		Name: CodeServerKey, Default: "/dev/null", UsedBy: "docker-compose.code.yml",
		Description: "A file of the **host** with the private key of that certificate, in PEM.",
	},
	{
		Name: CodeServerVSIX, Default: "/dev/null", UsedBy: "docker-compose.code.yml",
		Description: "A folder of the **host** with `.vsix` files: extensions that the code server installs when it starts, without a network.",
	},
	{
		Name: CodeServerTarball, UsedBy: "docker-compose.code.yml",
		Description: "Where code-server comes from, if not from its project's releases: a tarball, or the folder it is in, on the **host** or at a url.",
	},
	{
		Name: CodeServerSHA256, UsedBy: "docker-compose.code.yml", Check: sha256,
		Description: "The SHA-256 of that tarball, if it is not the release that this version is made for. Of a tarball on the host, the file `SHA256SUMS` beside it says it, too.",
	},
}

// Find is the setting of that name.
func Find(name string) (Setting, bool) {
	for _, s := range All {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// IsSecret says whether values under this name must never be printed.
func IsSecret(name string) bool {
	s, _ := Find(name)
	return s.Secret
}
