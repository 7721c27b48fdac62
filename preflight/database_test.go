package preflight

import (
	"testing"

	"github.com/docker/compose/v5/pkg/compose"
)

func TestDatabases(t *testing.T) {
	const volume = "lab_inmanta-db-data"
	image := func(major, data string) Image {
		return Image{Present: true, Env: map[string]string{"PG_MAJOR": major, "PGDATA": data}}
	}
	for name, c := range map[string]struct {
		env      string
		own      string
		kept     int
		images   map[string]Image
		problems []want
		warnings []want
	}{
		"the version there is":   {kept: 16},
		"no database yet":        {env: "POSTGRESQL_VERSION=17\n"},
		"an image of no version": {env: "POSTGRESQL_IMAGE=my/db\n", kept: 16},
		"another default than the data": {
			kept: 15,
			problems: []want{{
				"database-version", "POSTGRESQL_VERSION (default)", "the database in volume " + volume + " is PostgreSQL 15, and postgres:16 is PostgreSQL 16",
				"set POSTGRESQL_VERSION=15 in ",
			}},
		},
		"another version set than the data's": {
			env: "POSTGRESQL_VERSION=17.2\n", kept: 16,
			problems: []want{{"database-version", ".env:1", "PostgreSQL 16, and postgres:17.2 is PostgreSQL 17", "set POSTGRESQL_VERSION=16 in "}},
		},
		"an image of one's own decides": {
			env: "POSTGRESQL_IMAGE=my/db:3\nPOSTGRESQL_VERSION=16\n", kept: 16,
			images:   map[string]Image{"my/db:3": image("17", "")},
			problems: []want{{"database-version", ".env:1", "my/db:3 is PostgreSQL 17", "set POSTGRESQL_IMAGE to an image of PostgreSQL 16"}},
			warnings: []want{{"database-version-name", ".env:2", "POSTGRESQL_VERSION says 16, and the image my/db:3, which decides, is PostgreSQL 17", "set POSTGRESQL_VERSION=17"}},
		},
		"the image's own word over its tag": {
			kept: 15, images: map[string]Image{"postgres:16": image("15", "")},
		},
		"18 would put it elsewhere": {
			env:      "POSTGRESQL_VERSION=18\n",
			problems: []want{{"database-not-on-volume", ".env:1", "postgres:18 keeps the database in /var/lib/postgresql/18/docker, which is on no volume", "PostgreSQL 17 or older"}},
		},
		"an image that puts it elsewhere": {
			images:   map[string]Image{"postgres:16": image("16", "/data")},
			problems: []want{{"database-not-on-volume", "POSTGRESQL_VERSION (default)", "in /data, which is on no volume", ""}},
		},
		"18 told where to put it": {
			env: "POSTGRESQL_VERSION=18\n", own: "services:\n  db:\n    environment:\n      PGDATA: /var/lib/postgresql/data\n",
		},
		"18 with a volume where it puts it": {
			env: "POSTGRESQL_VERSION=18\n", own: "services:\n  db:\n    volumes: [\"more:/var/lib/postgresql\"]\nvolumes:\n  more:\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": c.env})
			if c.own != "" {
				l.write(map[string]string{"own.yml": c.own}).with("own.yml")
			}
			d, s := l.open()
			f := fine(s)
			for ref, image := range c.images {
				f.Images[ref] = image
			}
			if c.kept != 0 {
				f.Majors[volume] = c.kept
			}
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

func TestVolumes(t *testing.T) {
	l := newLab(t).write(map[string]string{"own.yml": `services:
  db:
    volumes: ["mine:/mine", "theirs:/theirs"]
volumes:
  mine:
    external: true
    name: of-another
  theirs:
    name: theirs
`}).with("own.yml")
	d, s := l.open()
	f := fine(s)
	hash, err := compose.VolumeHash(s.Project.Volumes["inmanta-db-data"])
	if err != nil {
		t.Fatal(err)
	}
	f.Volumes = map[string]Volume{
		"lab_inmanta-db-data":     {Project: "lab", Hash: hash},
		"lab_inmanta-server-data": {Project: "lab", Hash: "another"},
		"lab_inmanta-server-logs": {}, // made by hand
		"of-another":              {Project: "other"},
		"theirs":                  {Project: "other"},
	}
	problems, warnings := Check(d, s, f)
	l.expect("problem", problems)
	l.expect("warning", warnings,
		want{"volume-differs", "volume lab_inmanta-server-data", "stays as it is", "take the options back"},
		want{"volume-of-another", "volume theirs", "made by the project other", "external: true"})
}

func TestRoom(t *testing.T) {
	l := newLab(t)
	d, s := l.open()
	for _, c := range []struct {
		free     uint64
		memory   int64
		problems []want
		warnings []want
	}{
		{free: 10 << 30, memory: 2 << 30},
		{free: 10<<30 - 1, memory: 1<<30 + 1<<29, warnings: []want{
			{"disk-space", "/var/lib/docker", "10.0 GiB left", "docker system df"}, {"memory", "container engine", "1.5 GiB of memory", "more memory"},
		}},
		{free: 2 << 30, memory: 2_000_000_000, warnings: []want{{"disk-space", "/var/lib/docker", "has 2.0 GiB left; below 10.0 GiB", ""}}},
		{free: 2<<30 - 1, memory: 500 << 20, problems: []want{
			{"disk-space", "/var/lib/docker", "2.0 GiB are needed", "docker system df"}, {"memory", "container engine", "500 MiB of memory", "more memory"},
		}},
	} {
		f := fine(s)
		f.Disk.Free, f.Memory = c.free, c.memory
		problems, warnings := Check(d, s, f)
		l.expect("problem", problems, c.problems...)
		l.expect("warning", warnings, c.warnings...)
	}
	f := fine(s)
	f.Disk, f.Memory, f.Platform = Disk{}, 0, "" // unknown
	problems, warnings := Check(d, s, f)
	l.expect("problem", problems)
	l.expect("warning", warnings)
}

func TestEngineTooOld(t *testing.T) {
	l := newLab(t)
	d, s := l.open()
	for version, refused := range map[string]bool{"1.40": true, "1.9": true, "1.41": false, "1.47": false, "": false} {
		f := fine(s)
		f.APIVersion = version
		problems, _ := Check(d, s, f)
		if refused {
			l.expect("problem", problems, want{"engine-too-old", "container engine", "version " + version + ", and the oldest that will do is 1.41", "Engine 20.10"})
		} else {
			l.expect("problem", problems)
		}
	}
}

// Without an engine what can be judged is judged.
func TestNoEngine(t *testing.T) {
	l := newLab(t).write(map[string]string{".env": "POSTGRES_VERSION=1\n"}).with("docker-compose.iso.yml")
	d, s := l.open()
	problems, warnings := Check(d, s, Facts{Licences: map[string]LicenceFile{
		l.dir + "/license/example.com.jwe":     {Missing: true},
		l.dir + "/license/example.com.license": {Size: 1, Form: Other},
	}})
	l.expect("problem", problems,
		want{"setting-unknown", ".env:1", "POSTGRESQL_VERSION is meant", ""},
		want{"licence-missing", "license/example.com.jwe", "there is no entitlement", "got from Inmanta"})
	l.expect("warning", warnings)
}
