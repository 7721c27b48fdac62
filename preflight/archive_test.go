package preflight

import (
	"os"
	"testing"
)

// What the db-archive sidecar would refuse is refused before it starts, by its
// place, and so is a second database, which it would not follow.
func TestArchiveSettings(t *testing.T) {
	for name, c := range map[string]struct {
		env, with string
		arrange   func(dir string) error
		problems  []want
	}{
		"none":        {},
		"all of them": {env: "INMANTA_DB_ARCHIVE_SCHEDULE=monthly 15\nINMANTA_DB_ARCHIVE_KEEP=-1\nINMANTA_DB_ARCHIVE_FOLDER=/tmp\n"},
		"wrong ones": {
			env: "INMANTA_DB_ARCHIVE_SCHEDULE=size\nINMANTA_DB_ARCHIVE_KEEP=none\n",
			problems: []want{
				{"db-archive-setting", ".env:2", "INMANTA_DB_ARCHIVE_KEEP: ", "as 10"},
				{"db-archive-setting", ".env:1", "INMANTA_DB_ARCHIVE_SCHEDULE: a base backup is due by the clock", "weekly"},
			},
		},
		"nothing kept":  {env: "INMANTA_DB_ARCHIVE_KEEP=0\n", problems: []want{{"db-archive-setting", ".env:1", "nothing could be brought back", "as 2"}}},
		"a folder":      {arrange: func(dir string) error { return os.Mkdir(dir+"/db-archive", 0o700) }},
		"another place": {env: "INMANTA_DB_ARCHIVE_FOLDER=.env\n", problems: []want{{"db-archive-folder", ".env", "it is none", "INMANTA_DB_ARCHIVE_FOLDER"}}},
		"two databases": {with: "docker-compose.db-replica.yml", problems: []want{{"db-archive-pair", "topology", "change places", "leave docker-compose.db-archive.yml out"}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with("docker-compose.db-archive.yml").write(map[string]string{".env": c.env})
			if c.with != "" {
				l.with(c.with)
			}
			if c.arrange != nil {
				if err := c.arrange(l.dir); err != nil {
					t.Fatal(err)
				}
			}
			l.checked(c.problems, nil)
		})
	}
}
