package preflight

import "testing"

func TestServicesThatTheStackNeeds(t *testing.T) {
	const noDatabase = "services:\n  server:\n    depends_on: !reset {}\n  db: !reset {}\n"
	for name, c := range map[string]struct {
		own      string
		problems []want
	}{
		"the orchestrator taken away": {
			own:      "services:\n  # mine\n  server: !reset {}\n",
			problems: []want{{"service-missing", "own.yml:3", "takes away the service server", "out of the topology"}},
		},
		"the orchestrator behind a profile": {
			own:      "services:\n  server:\n    profiles: [later]\n",
			problems: []want{{"service-missing", "own.yml:3", "takes away the service server", "out of the topology"}},
		},
		"the database taken away": {
			own:      noDatabase,
			problems: []want{{"service-missing", "own.yml:4", "takes away the service db: the orchestrator needs it", "out of the topology"}},
		},
		"a database elsewhere": {
			own: "services:\n  server:\n    depends_on: !reset {}\n    environment:\n      INMANTA_DATABASE_HOST: db.example.com\n  db: !reset {}\n",
		},
		"two containers of one name": {
			own: "services:\n  web:\n    image: web\n    container_name: inmanta-db\n",
			problems: []want{{
				"container-name-twice", "own.yml:4", "the services db and web both name their container inmanta-db", "another container_name",
			}},
		},
		"a given name that another service gets by itself": {
			own:      "services:\n  web:\n    image: web\n  zoo:\n    image: zoo\n    container_name: lab-web-1\n",
			problems: []want{{"container-name-twice", "own.yml:6", "web and zoo both name their container lab-web-1", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{"own.yml": c.own}).with("own.yml")
			problems, warnings := Static(l.open())
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}

func TestATopologyWithoutTheBase(t *testing.T) {
	l := newLab(t).write(map[string]string{"own.yml": "services:\n  web:\n    image: web\n"})
	l.request.Files = []string{"own.yml"}
	problems, _ := Static(l.open())
	l.expect("problem", problems, want{"service-missing", "topology", "no compose file has the service server", "docker-compose.yml"})
}

func TestTheSecondOfTwoMachinesHasNoOrchestrator(t *testing.T) {
	l := newLab(t)
	l.request.Files = []string{"docker-compose.db-standby.yml"}
	_, s := l.open()
	r := report{stack: s}
	r.services()
	l.expect("problem", r.problems)
}

func TestNames(t *testing.T) {
	for name, c := range map[string]struct {
		env        string
		containers []Container
		problems   []want
	}{
		"its own containers": {
			containers: []Container{{Name: "inmanta-db", Project: "lab", Service: "db", Dir: "/moved/away"}},
		},
		"another deployment of the same name, in two containers": {
			containers: []Container{
				{Name: "x-db", Project: "lab", Service: "db", Dir: "/srv/lab", Elsewhere: true},
				{Name: "x-orchestrator", Project: "lab", Service: "server", Dir: "/srv/lab", Elsewhere: true},
			},
			problems: []want{{"project-name-taken", "project lab", "was made from /srv/lab", "cd /srv/lab && inmanta-docker -p lab down"}},
		},
		"another deployment of the same name, with the container's name too": {
			containers: []Container{{Name: "inmanta-db", Project: "lab", Service: "db", Dir: "/srv/lab", Elsewhere: true, OneOff: true}},
			problems:   []want{{"project-name-taken", "project lab", "was made from /srv/lab", "down --remove-orphans"}},
		},
		"a container of another project": {
			env:        "INMANTA_NAME=prod\n",
			containers: []Container{{Name: "prod-db", Project: "prod", Service: "db", Dir: "/srv/prod", Elsewhere: true, Running: true}},
			problems: []want{{
				"container-name-taken", ".env:1", "the container of the service db of the project prod, made from /srv/prod, already has the name prod-db",
				"to another prefix, or end that deployment, whose data stays: cd /srv/prod && inmanta-docker -p prod down",
			}},
		},
		"one in a directory that a shell would take for several": {
			containers: []Container{{Name: "inmanta-db", Project: "prod", Service: "db", Dir: "/srv/the 'old' one", Elsewhere: true}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "project prod", `cd '/srv/the '\''old'\'' one' && inmanta-docker -p prod down`}},
		},
		"one of another project, whose directory is gone": {
			containers: []Container{{Name: "inmanta-db", Project: "prod", Service: "db", Dir: "/srv/gone"}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "made from /srv/gone,", "cd / && inmanta-docker -p prod down"}},
		},
		"a container of another service of this project": {
			containers: []Container{{Name: "inmanta-db", Project: "lab", Service: "old-db"}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "the service old-db of the project lab, this one,", "inmanta-docker -p lab down --remove-orphans"}},
		},
		"a container made by hand": {
			containers: []Container{{Name: "inmanta-orchestrator"}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "that Compose did not make already has the name inmanta-orchestrator", "docker rm inmanta-orchestrator"}},
		},
		"a container made by hand that runs": {
			containers: []Container{{Name: "inmanta-orchestrator", Running: true}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "", "docker rm -f inmanta-orchestrator"}},
		},
		"left by compose run": {
			containers: []Container{{Name: "inmanta-db", Project: "lab", Service: "db", OneOff: true}},
			problems:   []want{{"container-name-taken", "INMANTA_NAME (default)", "that `docker compose run` made of the service db of the project lab, this one,", "inmanta-docker -p lab down --remove-orphans"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": c.env})
			d, s := l.open()
			f := fine(s)
			f.Containers = c.containers
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}
