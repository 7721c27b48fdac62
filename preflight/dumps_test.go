package preflight

import (
	"os"
	"testing"
)

// What the db-dump sidecar would refuse is refused before it starts, by its place.
func TestDumpSettings(t *testing.T) {
	const overlay = "docker-compose.db-dump.yml"
	for name, c := range map[string]struct {
		env, own string
		arrange  func(dir string) error
		problems []want
	}{
		"none":        {},
		"all of them": {env: "INMANTA_DB_DUMP_SCHEDULE=weekly 1\nINMANTA_DB_DUMP_KEEP=-1\nINMANTA_DB_DUMP_MAX_AGE=30\nINMANTA_DB_DUMP_MAX_TOTAL=1G\nINMANTA_DB_DUMP_TIMEZONE=Europe/Brussels\nINMANTA_DB_DUMP_FOLDER=/tmp\n"},
		"wrong ones": {
			env: "INMANTA_DB_DUMP_SCHEDULE=size\nINMANTA_DB_DUMP_KEEP=0\nINMANTA_DB_DUMP_MAX_AGE=old\n",
			problems: []want{
				{"db-dump-setting", ".env:3", "INMANTA_DB_DUMP_MAX_AGE: ", "as 30"},
				{"db-dump-setting", ".env:1", "INMANTA_DB_DUMP_SCHEDULE: a dump is due by the clock", "daily"},
			},
		},
		"of the user's own overlay": {
			own:      "services:\n  db-dump:\n    environment:\n      INMANTA_DB_DUMP_KEEP: 0\n",
			problems: []want{{"db-dump-setting", "own.yml:4", "INMANTA_DB_DUMP_KEEP: with no dump kept", "-1"}},
		},
		"a folder":      {arrange: func(dir string) error { return os.Mkdir(dir+"/db-dumps", 0o700) }},
		"another place": {env: "INMANTA_DB_DUMP_FOLDER=.env\n", problems: []want{{"db-dump-folder", ".env", "it is none", "INMANTA_DB_DUMP_FOLDER"}}},
		"a link that leads nowhere": {
			arrange:  func(dir string) error { return os.Symlink("gone", dir+"/db-dumps") },
			problems: []want{{"db-dump-folder", "db-dumps", "it is none", "move it away"}},
		},
		"a link to a folder": {arrange: func(dir string) error { return os.Symlink("/tmp", dir+"/db-dumps") }},
		"in a volume": {
			own:     "services:\n  db-dump:\n    volumes: ['dumps:/db-dumps']\nvolumes: {dumps: {}}\n",
			arrange: func(dir string) error { return os.WriteFile(dir+"/db-dumps", nil, 0o600) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with(overlay).write(map[string]string{".env": c.env})
			if c.own != "" {
				l.write(map[string]string{"own.yml": c.own}).with("own.yml")
			}
			if c.arrange != nil {
				if err := c.arrange(l.dir); err != nil {
					t.Fatal(err)
				}
			}
			l.checked(c.problems, nil)
		})
	}
	// Without the sidecar nobody asks.
	newLab(t).write(map[string]string{".env": "INMANTA_DB_DUMP_KEEP=0\n"}).checked(nil, nil)
}
