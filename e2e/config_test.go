package e2e

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// composed is one way to name a deployment, which both tools must read the same.
type composed struct {
	// files are in the directory besides .env and, unless bare, this
	// repository's compose files.
	files map[string]string
	// bare leaves ours without compose files on disk: they come from its binary.
	bare bool
	// shell is exported; in is the directory below the deployment's to run in.
	shell []string
	in    string
	// args come before config and after after it. stock and stockShell stand in
	// for args and shell where the stock tool has no such flag.
	args, after       string
	stock, stockShell string
}

const ownOverlay = `services:
  server:
    environment: {INMANTA_SERVER_DUMMY: "${DUMMY:-$$none}"}
    labels: {team: network}
    ports: !override ["127.0.0.1:${INMANTA_ORCHESTRATOR_PORT}:8888", "8889:8889"]
  debug:
    image: busybox
    profiles: [debug]
volumes:
  unused: {}
`

// Whatever way a deployment is named and its settings are given, config prints
// the same bytes as the stock tool and ends with the same code.
func TestConfigEqualsStock(t *testing.T) {
	t.Parallel()
	const both = "-f docker-compose.yml -f docker-compose.iso.yml"
	env := func(text string) map[string]string { return map[string]string{".env": text} }
	own := map[string]string{"own.yml": ownOverlay}
	all := everyFile(t)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for name, c := range map[string]composed{
		"nothing said":                 {},
		"base":                         {args: "-f docker-compose.yml"},
		"service orchestrator":         {args: both},
		"overlay first":                {args: "-f docker-compose.iso.yml -f docker-compose.yml"},
		"absolute file":                {args: "-f $PWD/docker-compose.yml"},
		"file elsewhere":               {in: "license", args: "-f ../docker-compose.yml"},
		"with":                         {args: "--with iso", stock: both},
		"project name":                 {args: "-p other -f docker-compose.yml"},
		"project name in .env":         {files: env("COMPOSE_PROJECT_NAME=other\n")},
		"project name in shell":        {files: env("COMPOSE_PROJECT_NAME=other\n"), shell: []string{"COMPOSE_PROJECT_NAME=third"}},
		"project directory":            {args: "--project-directory license -f docker-compose.yml"},
		"project directory above":      {in: "license", args: "--project-directory .."},
		"subdirectory":                 {in: "license"},
		"settings":                     {files: env("INMANTA_NAME=a\nINMANTA_ORCHESTRATOR_IP=0.0.0.0\nINMANTA_ORCHESTRATOR_PORT=9999\nPOSTGRESQL_VERSION=17\n")},
		"nested default":               {files: env("POSTGRESQL_IMAGE=mirror.test/postgres:${POSTGRESQL_VERSION:-15}\nPOSTGRESQL_VERSION=17\n")},
		"empty settings":               {files: env("INMANTA_NAME=\nPOSTGRESQL_IMAGE=\n")},
		"shell over .env":              {files: env("INMANTA_NAME=a\n"), shell: []string{"INMANTA_NAME=b"}},
		"empty in shell":               {files: env("INMANTA_NAME=a\n"), shell: []string{"INMANTA_NAME="}},
		"--env":                        {args: "--env INMANTA_NAME=c", files: env("INMANTA_NAME=a\n"), shell: []string{"INMANTA_NAME=b"}, stock: " ", stockShell: "INMANTA_NAME=c"},
		"--env from shell":             {args: "--env INMANTA_NAME", shell: []string{"INMANTA_NAME=b"}, stock: " "},
		"--env-file":                   {args: "--env-file other.env", files: map[string]string{".env": "INMANTA_NAME=a\n", "other.env": "INMANTA_ORCHESTRATOR_PORT=9\n"}},
		"two of --env-file":            {args: "--env-file one.env --env-file two.env", files: map[string]string{"one.env": "A=one\nINMANTA_NAME=one\n", "two.env": "INMANTA_NAME=two-$A\n"}},
		"env files in shell":           {shell: []string{"COMPOSE_ENV_FILES=one.env,two.env"}, files: map[string]string{"one.env": "INMANTA_NAME=one\n", "two.env": "INMANTA_ORCHESTRATOR_PORT=2\n"}},
		"remembered":                   {files: env("COMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n")},
		"remembered, from below":       {in: "license", args: "--project-directory ..", files: env("COMPOSE_FILE=../docker-compose.yml\n")},
		"remembered, in shell":         {shell: []string{"COMPOSE_FILE=docker-compose.yml:own.yml"}, files: own},
		"remembered, flag wins":        {args: "-f docker-compose.yml", files: env("COMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n")},
		"another separator":            {files: env("COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE=docker-compose.yml;docker-compose.iso.yml\n")},
		"own overlay":                  {args: both + " -f own.yml", files: own},
		"override":                     {files: map[string]string{"docker-compose.override.yml": ownOverlay}},
		"profile in shell":             {args: "-f docker-compose.yml -f own.yml", files: own, shell: []string{"COMPOSE_PROFILES=debug"}},
		"profile in .env":              {args: "-f docker-compose.yml -f own.yml", files: map[string]string{".env": "COMPOSE_PROFILES=debug\n", "own.yml": ownOverlay}},
		"profile":                      {args: "--profile debug -f docker-compose.yml -f own.yml", files: own},
		"profiles":                     {args: "--profile no-such --profile * -f docker-compose.yml -f own.yml", files: own},
		"standard input":               {args: "-f -", after: "<docker-compose.yml"},
		"standard input, elsewhere":    {in: "license", args: "-f -", after: "<../docker-compose.yml"},
		"an overlay on standard input": {in: "license", args: "-f ../docker-compose.yml -f -", after: "<../own.yml", files: own},
		"nothing on standard input":    {args: "-f -", after: "</dev/null"},
		"standard input remembered":    {files: env("COMPOSE_FILE=docker-compose.yml:-\n"), after: "<docker-compose.iso.yml"},
		"compatibility":                {args: "--compatibility -f docker-compose.yml -f own.yml", files: own},
		"all resources":                {args: "--all-resources -f docker-compose.yml -f own.yml", files: own},
		"other flags before it":        {args: "--ansi never --progress plain --parallel 2 --dry-run"},
		"deprecated flags":             {in: "license", args: "--no-ansi --workdir .."},
		"no such progress":             {args: "--progress fancy"},
		"quotes":                       {files: env("INMANTA_DATABASE_PASSWORD='$a \"b\" #c'\n")},
		"dollars":                      {files: env("A=x\nINMANTA_DATABASE_PASSWORD=\"\\$a$$b${A}\"\n")},
		"hostile password":             {shell: []string{"INMANTA_DATABASE_PASSWORD=$a;%(b)s#'\"ü\\ "}},
		"lines":                        {files: env("INMANTA_AUTHORIZED_KEYS='ssh-rsa a\nssh-rsa b'\n")},
		"ssh sidecar":                  {args: "-f docker-compose.yml -f docker-compose.ssh.yml", files: env("INMANTA_AUTHORIZED_KEYS='ssh-rsa a\nssh-rsa b'\nINMANTA_SSH_SIDECAR_PORT=22\n")},
		"logrotate sidecar":            {args: "-f docker-compose.yml -f docker-compose.logrotate.yml", files: env("INMANTA_LOGROTATE_SCHEDULE=weekly 1\nINMANTA_LOGROTATE_PATTERNS=*.log [a-z]*.out\nINMANTA_LOGROTATE_SIZE=10M\n")},
		"both sidecars":                {args: "--with ssh,logrotate", stock: "-f docker-compose.yml -f docker-compose.ssh.yml -f docker-compose.logrotate.yml", shell: []string{"INMANTA_LOGROTATE_KEEP=3"}},
		"init sidecar":                 {args: "-f docker-compose.yml -f docker-compose.init.yml", files: env("INMANTA_MODULE_REPO_URL=https://git.example.com/me/hello.git\nINMANTA_MODULE_REPO_BRANCH=main\nINMANTA_PYTEST_ARGUMENTS='tests -k \"a b\" $c'\nINMANTA_MODULE_REPO_TOKEN=hunter22\nINMANTA_MODULE_REPO_SSH_KEY='-----BEGIN\nkey\n-----END'\n")},
		"init sidecar, own index":      {args: "-f docker-compose.yml -f docker-compose.init.yml -f netrc.yml", files: map[string]string{"netrc.yml": netrcOverlay(t)}},
		"init sidecar, elsewhere":      {args: "--with init", stock: "-f docker-compose.yml -f docker-compose.init.yml", files: env("PIP_INDEX_URL=https://index.example.com/simple\nINMANTA_CA_BUNDLE=./ca.pem\nINMANTA_OFFLINE_FOLDER=offline\n"), shell: []string{"HTTPS_PROXY=http://proxy.example.com:3128", "UV_INDEX="}},
		"code sidecar":                 {args: "-f docker-compose.yml -f docker-compose.code.yml", files: env("INMANTA_CODE_SERVER_PASSWORD='$a \"b\" #c'\nINMANTA_CODE_SERVER_IP=::1\nINMANTA_CODE_SERVER_PORT=80\nINMANTA_CODE_SERVER_TARBALL=./code-server.tar.gz\nINMANTA_CODE_SERVER_CERTIFICATE=./tls/certificate.pem\n")},
		"code sidecar, over ssh":       {args: "--with code,ssh", stock: "-f docker-compose.yml -f docker-compose.code.yml -f docker-compose.ssh.yml", shell: []string{"INMANTA_CODE_SERVER_LOGIN=none"}},
		"two databases":                {args: "-f docker-compose.yml -f docker-compose.db-replica.yml", files: env("INMANTA_DATABASE_REPLICATION_PASSWORD='$a \"b\" #c'\nINMANTA_DATABASE_WHEN_ALONE=degrade\nPOSTGRESQL_VERSION=17\n")},
		"two databases, iso":           {args: "--with iso,db-replica", stock: "-f docker-compose.yml -f docker-compose.iso.yml -f docker-compose.db-replica.yml", shell: []string{"INMANTA_NAME=b"}},
		"db-dump sidecar":              {args: "-f docker-compose.yml -f docker-compose.db-dump.yml", files: env("INMANTA_DB_DUMP_SCHEDULE=weekly 1\nINMANTA_DB_DUMP_FOLDER=/mnt/dumps\nINMANTA_DATABASE_PASSWORD='$a \"b\" #c'\n")},
		"db-dump sidecar, of two":      {args: "--with db-replica,db-dump", stock: "-f docker-compose.yml -f docker-compose.db-replica.yml -f docker-compose.db-dump.yml", shell: []string{"INMANTA_DB_DUMP_FOLDER=dumps"}},
		"db-dump sidecar, both hosts":  {args: "-f docker-compose.yml -f docker-compose.db-primary.yml -f docker-compose.db-dump.yml -f both.yml", files: map[string]string{"both.yml": dumpBoth(t), ".env": "INMANTA_DATABASE_PEER_HOST=10.0.0.2\n"}},
		"db-archive sidecar":           {args: "-f docker-compose.yml -f docker-compose.db-archive.yml", files: env("INMANTA_DB_ARCHIVE_SCHEDULE=weekly 1\nINMANTA_DB_ARCHIVE_FOLDER=/mnt/archive\nINMANTA_NAME=a\n")},
		"all overlays":                 {args: "-f " + strings.Join(all, " -f "), files: env("INMANTA_AUTHORIZED_KEYS=ssh-rsa a\nINMANTA_MODULE_REPO_URL=git@git.example.com:me/hello.git\nINMANTA_NAME=a\n")},
		"all overlays, backwards":      {args: "-f " + strings.Join(backwards, " -f ")},
		"all overlays remembered":      {files: env("COMPOSE_FILE=" + strings.Join(all, ":") + "\n")},
		"all overlays of the binary":   {bare: true, args: "-f " + strings.Join(all, " -f "), files: env("INMANTA_CODE_SERVER_PASSWORD=hunter22\n")},
		"a key without quotes":         {args: "--with iso,ssh", stock: both + " -f docker-compose.ssh.yml", files: env("INMANTA_AUTHORIZED_KEYS=from=\"10.0.0.0/8\" ssh-rsa a= me # laptop\n")},
		"keys in shell":                {args: "-f docker-compose.yml -f docker-compose.ssh.yml", shell: []string{"INMANTA_AUTHORIZED_KEYS=ssh-rsa a\nssh-rsa b"}},
		"export and comments":          {files: env("# a comment\nexport INMANTA_NAME=a # said so\r\nINMANTA_ORCHESTRATOR_PORT: 7\n")},
		"json":                         {args: both, after: "--format json"},
		"services":                     {after: "--services"},
		"images":                       {after: "--images"},
		"volumes":                      {after: "--volumes"},
		"hashes":                       {args: both, after: "--hash *"},
		"one service":                  {after: "db"},
		"quiet":                        {after: "--quiet"},
		"not interpolated":             {after: "--no-interpolate"},
		"variables":                    {after: "--variables"},
		"environment":                  {after: "--environment", shell: []string{"INMANTA_NAME=b"}},
		"unknown service":              {after: "nobody"},
		"unknown flag":                 {after: "--no-such-flag"},
		"files of the binary":          {bare: true, args: "-f docker-compose.yml", files: env("INMANTA_NAME=a\n")},
		"both of the binary":           {bare: true, args: both},
		"one of the binary":            {bare: true, args: "-f docker-compose.yml -f own.yml", files: own},
		"of the binary remembered":     {bare: true, files: env("COMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.compare(t)
		})
	}
}

// netrcOverlay is the overlay of the init sidecar's page for an index that wants a password.
func netrcOverlay(t *testing.T) string {
	t.Helper()
	for _, block := range fenced(t, "../docs/sidecars/init.md", "yaml") {
		if strings.Contains(block, "NETRC") {
			return block
		}
	}
	t.Fatal("the page has no such overlay")
	return ""
}

// dumpBoth is the overlay of the db-dump sidecar's page for two machines.
func dumpBoth(t *testing.T) string {
	t.Helper()
	blocks := fenced(t, "../docs/sidecars/db-dump.md", "yaml")
	if len(blocks) != 1 {
		t.Fatalf("the page has %d overlays", len(blocks))
	}
	return blocks[0]
}

// everyFile are this repository's compose files, the one that the others are put
// on first.
func everyFile(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docker-compose*.yml")
	if err != nil || len(files) < 6 {
		t.Fatalf("the compose files are %v: %v", files, err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
	}
	slices.SortFunc(files, func(a, b string) int {
		return strings.Compare(strings.TrimSuffix(a, ".yml"), strings.TrimSuffix(b, ".yml"))
	})
	return files
}

func (c composed) compare(t *testing.T) {
	t.Helper()
	s := &stack{t: t, dir: filepath.Join(t.TempDir(), "deployment")}
	s.write("license/README.md", "licences\n")
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		s.write(name, c.files[name])
	}
	if !c.bare {
		s.composeFiles()
	}
	line := func(tool, args string) string {
		return "cd ./" + c.in + "; set -f; exec " + tool + " " + args + " config " + c.after
	}
	s.env = c.shell
	ours := s.sh(line("inmanta-docker", c.args))

	if c.bare {
		s.composeFiles()
	}
	args := c.args
	if c.stock != "" {
		args = c.stock
	}
	if c.stockShell != "" {
		s.env = append(slices.Clone(c.shell), c.stockShell)
	}
	stock := s.sh(line("docker compose", args))
	if ours.code != stock.code {
		t.Errorf("exit code %d, the stock tool's is %d\n%s\n%s", ours.code, stock.code, ours.stderr, stock.stderr)
	}
	if slices.Contains(unordered, c.after) {
		ours.stdout, stock.stdout = ordered(ours.stdout), ordered(stock.stdout)
	}
	if ours.stdout != stock.stdout {
		t.Errorf("ours differs from the stock tool's:\n%s\n%s", firstDifference(ours.stdout, stock.stdout), ours.stderr)
	}
	// Lists of services, and what is refused, may be short; a deployment is not.
	if stock.code == 0 && c.after == "" && !strings.Contains(stock.stdout, "inmanta-server-data") {
		t.Errorf("the stock tool does not print a deployment:\n%s", stock.stdout)
	}
}

// unordered is what the stock tool prints in another order each time.
var unordered = []string{"--services", "--images", "--volumes", "--variables", "--environment", "--hash *"}

// ordered are the lines in the order of the alphabet, without what docker tells
// its plugins.
func ordered(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "DOCKER_CLI_PLUGIN_") || strings.HasPrefix(line, "OTEL_")
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// firstDifference is the first line in which two texts differ.
func firstDifference(ours, stock string) string {
	a, b := strings.Split(ours, "\n"), strings.Split(stock, "\n")
	for i := range max(len(a), len(b)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(nothing)"
		}
		if line(a) != line(b) {
			return "ours:  " + line(a) + "\nstock: " + line(b)
		}
	}
	return ""
}
