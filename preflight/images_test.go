package preflight

import "testing"

const (
	openSource = "ghcr.io/inmanta/orchestrator:latest"
	commercial = "containers.inmanta.com/containers/service-orchestrator:8"
)

func TestImages(t *testing.T) {
	away := Image{Registry: Unreachable, Trouble: "no such host"}
	for name, c := range map[string]struct {
		env      string
		with     map[string]string
		images   map[string]Image
		volumes  map[string]Volume
		problems []want
	}{
		"default ones, nothing there yet": {
			images: map[string]Image{openSource: away, "postgres:16": away},
			problems: []want{
				{"image-missing", "POSTGRESQL_VERSION (default)", "lacks the image postgres:16, and its registry cannot be reached (no such host)", "inmanta-docker image build"},
				{"image-missing", "INMANTA_ORCHESTRATOR_IMAGE (default)", "lacks the image " + openSource, "inmanta-docker image build"},
			},
		},
		"default ones, beneath data that exists": {
			images:   map[string]Image{openSource: away},
			volumes:  map[string]Volume{"lab_inmanta-db-data": {Project: "lab"}},
			problems: []want{{"image-missing", "INMANTA_ORCHESTRATOR_IMAGE (default)", "lacks", "docker save " + openSource}},
		},
		"another edition": {
			with:   map[string]string{"docker-compose.iso.yml": ""},
			images: map[string]Image{commercial: away, "postgres:16": away},
			problems: []want{
				{"image-missing", "POSTGRESQL_VERSION (default)", "lacks the image postgres:16", "docker load"},
				{"image-missing", "docker-compose.iso.yml:6", "lacks the image " + commercial, "docker load"},
			},
		},
		"not logged in": {
			env:      "INMANTA_ORCHESTRATOR_IMAGE=" + commercial + "\n",
			images:   map[string]Image{commercial: {Registry: Denied, Trouble: "unauthorized"}},
			problems: []want{{"image-denied", ".env:1", "does not give it to this user (unauthorized)", "docker login containers.inmanta.com"}},
		},
		"a tag that does not exist": {
			env:      "POSTGRESQL_VERSION=16.99\n",
			images:   map[string]Image{"postgres:16.99": {Registry: NoSuchImage, Trouble: "manifest unknown"}},
			problems: []want{{"image-unknown", ".env:1", "lacks the image postgres:16.99, and its registry has no such image", "check its name and tag"}},
		},
		"to be pulled": {images: map[string]Image{openSource: {Registry: Offered, Platforms: []string{"linux/amd64", "linux/arm64"}}}},
		"offered for another processor only": {
			images:   map[string]Image{openSource: {Registry: Offered, Platforms: []string{"linux/arm64"}}},
			problems: []want{{"image-platform", "INMANTA_ORCHESTRATOR_IMAGE (default)", "is for linux/arm64, and the engine runs linux/amd64", "docker pull --platform linux/amd64 " + openSource}},
		},
		"for another processor": {
			images:   map[string]Image{openSource: {Present: true, Platforms: []string{"linux/s390x"}}},
			problems: []want{{"image-platform", "INMANTA_ORCHESTRATOR_IMAGE (default)", "is for linux/s390x", ""}},
		},
		"for one that the engine's runs too": {images: map[string]Image{openSource: {Present: true, Platforms: []string{"linux/386"}}}},
		"emulated on purpose": {
			with:   map[string]string{"own.yml": "services:\n  server:\n    platform: linux/arm64\n"},
			images: map[string]Image{openSource: {Present: true, Platforms: []string{"linux/arm64"}}},
		},
		"built here": {
			with:   map[string]string{"own.yml": "services:\n  web:\n    image: web\n    build: .\n"},
			images: map[string]Image{"web": away},
		},
		"never to be pulled": {
			with:     map[string]string{"own.yml": "services:\n  web:\n    image: web\n    pull_policy: never\n"},
			images:   map[string]Image{"web": {Registry: Offered}},
			problems: []want{{"image-missing", "own.yml:3", "may not pull it", "docker load"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": c.env})
			for file, text := range c.with {
				if text != "" {
					l.write(map[string]string{file: text})
				}
				l.with(file)
			}
			d, s := l.open()
			f := fine(s)
			for ref, image := range c.images {
				f.Images[ref] = image
			}
			if c.volumes != nil {
				f.Volumes = c.volumes
			}
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}

func TestOfficialMajor(t *testing.T) {
	for ref, want := range map[string]int{
		"postgres:16": 16, "postgres:17.2-bookworm": 17, "mirror.example:5000/library/postgres:15": 15, "localhost/inmanta-docker/postgres:17": 17,
		"postgres": 0, "postgres:latest": 0, "postgresql:16": 0, "my/db:3": 0, "?": 0,
	} {
		if got := officialMajor(ref); got != want {
			t.Errorf("%s is %d, want %d", ref, got, want)
		}
	}
}
