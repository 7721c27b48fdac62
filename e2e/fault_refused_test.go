package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// untouched runs a function that must leave what runs as it is: the same
// containers, that serve.
func (s *stack) untouched(do func()) {
	s.t.Helper()
	before := s.containers()
	do()
	if after := s.containers(); !slices.Equal(after, before) {
		s.t.Errorf("the containers %v became %v", before, after)
	}
	s.serves()
}

// A password that is not the volume's, and a PostgreSQL that cannot read it:
// refused while the stack serves, and nothing is touched; refused when it is
// down, before there is an orchestrator.
func TestRefusedForTheData(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	s.project("precious")
	place := func(setting string) string {
		line := 1 + strings.Count(strings.Split("\n"+s.read(".env"), "\n"+setting+"=")[0], "\n")
		return fmt.Sprintf("%s/.env:%d", s.dir, line)
	}

	s.untouched(func() {
		s.set("INMANTA_DATABASE_PASSWORD", "notTheVolumes")
		for _, p := range s.refused([]string{"database-password"}, "up") {
			s.says(p.Where, place("INMANTA_DATABASE_PASSWORD"))
			s.says(p.What, s.name+"_inmanta-db-data", "the orchestrator was not touched")
		}
		// And the password that upstream's files have always had.
		s.unset("INMANTA_DATABASE_PASSWORD")
		for _, p := range s.refused([]string{"database-password"}, "up") {
			s.says(p.Where, "INMANTA_DATABASE_PASSWORD")
			s.says(p.Fix, "the password the volume was made with")
		}
		s.set("INMANTA_DATABASE_PASSWORD", hiddenPassword)
	})
	other := s.image("postgres:15", tools.images["POSTGRESQL_IMAGE"], "ENV PG_MAJOR=15")
	good := tools.images["POSTGRESQL_IMAGE"]
	s.untouched(func() {
		s.set("POSTGRESQL_IMAGE", other)
		for _, p := range s.refused([]string{"database-version"}, "up") {
			s.says(p.Where, place("POSTGRESQL_IMAGE"))
			s.says(p.What, "is PostgreSQL "+tools.images["POSTGRESQL_VERSION"], other+" is PostgreSQL 15")
			s.says(p.Fix, "POSTGRESQL_IMAGE", "dump the database first")
		}
		s.set("POSTGRESQL_IMAGE", good)
	})

	// With nothing running, the version is seen in the volume, the password
	// once the database answers.
	s.must("down")
	s.set("POSTGRESQL_IMAGE", other)
	s.refused([]string{"database-version"}, "up")
	if made := s.containers(); len(made) > 0 {
		t.Errorf("refused, and there is %v", made)
	}
	s.set("POSTGRESQL_IMAGE", good)
	s.set("INMANTA_DATABASE_PASSWORD", "notTheVolumes")
	s.refused([]string{"database-password"}, "up")
	if names := s.docker("ps", "-a", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}}"); names != s.db() {
		t.Errorf("with the wrong password there is %s", names)
	}
	s.set("INMANTA_DATABASE_PASSWORD", hiddenPassword)
	s.must("up")
	s.complete()
	s.keeps("precious")
}

// Data of another major version is refused before there is any container; and
// explained by the report where only the database itself can tell, as the image
// does not say which it is.
func TestDatabaseOfAnotherMajorVersion(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	volume := s.name + "_inmanta-db-data"
	s.docker("volume", "create", "--label", "com.docker.compose.project="+s.name, "--label", "com.docker.compose.volume=inmanta-db-data", volume)
	s.docker("run", "--rm", "--entrypoint", "sh", "-v", volume+":/data", tools.images["POSTGRESQL_IMAGE"], "-c", "echo 15 > /data/PG_VERSION")
	s.refused([]string{"database-version"}, "up")
	if made := s.containers(); len(made) > 0 {
		t.Errorf("refused, and there is %v", made)
	}
	s.set("POSTGRESQL_IMAGE", s.image("postgres-of-no-name:1", tools.images["POSTGRESQL_IMAGE"], "ENV PG_MAJOR="))
	s.write("own.yml", "services: {db: {environment: {PG_MAJOR: \"${POSTGRESQL_VERSION}\"}}}\n")
	report := s.broken("db", "database-version", "-f", "docker-compose.yml", "-f", "own.yml")
	s.says(report.What, "PostgreSQL 15", "PostgreSQL "+tools.images["POSTGRESQL_VERSION"])
	s.says(report.Cause.Fix, "POSTGRESQL_VERSION=15")
}

// image is an image made from another with a change to its configuration; it
// is gone with the scenario.
func (s *stack) image(name, from, change string) string {
	s.t.Helper()
	name = "127.0.0.1:1/" + s.name + "/" + name // no registry answers there
	container := s.docker("create", "--label", "com.docker.compose.project="+s.name, from)
	s.docker("commit", "--change", change, container, name)
	s.docker("rm", "-v", container)
	s.t.Cleanup(func() {
		s.remove()
		s.docker("rmi", name)
	})
	return name
}

// unset takes a setting out of .env.
func (s *stack) unset(name string) {
	s.t.Helper()
	s.write(".env", regexp.MustCompile(`(?m)^`+name+`=.*\n`).ReplaceAllString(s.read(".env"), ""))
}

// Every port that somebody has is told at once, with whose it is, before
// anything is made; one that is taken in between is in the report.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	process, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	held, others := freePort(t), freePort(t)
	sleeps := []string{"--entrypoint", "sleep", tools.images["INMANTA_ORCHESTRATOR_IMAGE"], "infinity"}
	holder := s.docker(append([]string{"run", "-d", "--init", "-p", fmt.Sprintf("127.0.0.1:%d:1", held)}, sleeps...)...)
	t.Cleanup(func() { s.docker("rm", "-fv", holder) })
	neighbour := newStackNamed(t, "-neighbour")
	neighbour.write("docker-compose.yml", fmt.Sprintf(`services:
  web: {image: %q, init: true, entrypoint: [sleep, infinity], ports: ["127.0.0.1:%d:1"]}
`, tools.images["INMANTA_ORCHESTRATOR_IMAGE"], others))
	neighbour.stock("up -d")
	s.write("own.yml", fmt.Sprintf("services: {server: {ports: [\"127.0.0.1:%d:2\", \"127.0.0.1:%d:3\"]}}\n", held, others))

	before := s.read(".env")
	problems := s.refused([]string{"port-taken", "port-taken", "port-taken"}, "-f", "docker-compose.yml", "-f", "own.yml", "up")
	said := fmt.Sprint(problems)
	s.says(said,
		fmt.Sprintf("port 127.0.0.1:%d is taken by the process e2e.test (pid %d)", s.port, os.Getpid()), s.dir+"/.env:",
		fmt.Sprintf("port 127.0.0.1:%d is taken by the container %s", held, s.docker("inspect", "-f", "{{slice .Name 1}}", holder)), s.dir+"/own.yml:1",
		fmt.Sprintf("port 127.0.0.1:%d is taken by the container %s-web-1 of the project %s (%s)", others, neighbour.name, neighbour.name, neighbour.dir))
	if made := slices.Concat(s.containers(), s.volumes(), s.networks()); len(made) > 0 {
		t.Errorf("refused, and there is %v", made)
	}
	if after := s.read(".env"); after != before {
		t.Errorf("refused, and .env has become\n%s", after)
	}

	// Free when preflight looks, taken when the orchestrator is to start.
	_ = process.Close()
	g := newGate(t)
	var thief net.Listener
	g.at(moment{name: "making the orchestrator", method: "POST", path: regexp.MustCompile(`^/containers/create\?name=` + s.server() + `$`)}, func() {
		if thief, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.port)); err != nil {
			t.Error(err)
		}
	})
	s.env = []string{"DOCKER_HOST=" + g.host}
	report := s.broken("server", "port-taken")
	s.says(report.What, s.server(), fmt.Sprintf("127.0.0.1:%d is already in use", s.port))
	s.says(report.Cause.Fix, "INMANTA_ORCHESTRATOR_PORT")
	if !g.met() {
		t.Fatal("nobody took the port")
	}
	_ = thief.Close()
	s.env = nil
	s.must("up")
	s.complete()
}
