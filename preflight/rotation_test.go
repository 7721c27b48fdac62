package preflight

import (
	"os"
	"testing"
)

const rotationOverlay = "docker-compose.logrotate.yml"

// What the sidecar would refuse is refused before it starts, all of it at once,
// by its place.
func TestRotationSettings(t *testing.T) {
	for name, c := range map[string]struct {
		env, overlay string
		shell        []string
		problems     []want
		warnings     []want
	}{
		"none": {},
		"all of them": {env: "INMANTA_LOGROTATE_SCHEDULE=weekly 1\nINMANTA_LOGROTATE_SIZE=10M\nINMANTA_LOGROTATE_KEEP=3\nINMANTA_LOGROTATE_MAX_AGE=30\n" +
			"INMANTA_LOGROTATE_MAX_TOTAL=1G\nINMANTA_LOGROTATE_COMPRESSION=zstd:3\nINMANTA_LOGROTATE_PATTERNS=*.log\nINMANTA_LOGROTATE_TIMEZONE=Europe/Brussels\nINMANTA_LOGROTATE_COPYTRUNCATE=yes\n"},
		"wrong ones, wherever they come from": {
			env:   "INMANTA_NAME=lab\nINMANTA_LOGROTATE_SCHEDULE=dayly\nINMANTA_LOGROTATE_COMPRESSION=xz\n",
			shell: []string{"INMANTA_LOGROTATE_KEEP=many"},
			problems: []want{
				{"logrotate-setting", ".env:2", "INMANTA_LOGROTATE_SCHEDULE: ", ""},
				{"logrotate-setting", "the shell's INMANTA_LOGROTATE_KEEP", "", ""},
				{"logrotate-setting", ".env:3", "INMANTA_LOGROTATE_COMPRESSION: \"xz\" is no compression", "gzip or zstd"},
			},
		},
		"by size, without one": {
			env:      "INMANTA_LOGROTATE_SCHEDULE=size\n",
			problems: []want{{"logrotate-setting", "INMANTA_LOGROTATE_SIZE (default)", "it is not set", "10M"}},
		},
		"a time zone there is not": {
			env:      "INMANTA_LOGROTATE_TIMEZONE=Europe/Brusels\n",
			problems: []want{{"logrotate-setting", ".env:1", "INMANTA_LOGROTATE_TIMEZONE: there is no time zone \"Europe/Brusels\"", "Europe/Brussels"}},
		},
		"of the user's own overlay": {
			overlay:  "services:\n  logrotate:\n    environment:\n      INMANTA_LOGROTATE_KEEP: all of them\n",
			problems: []want{{"logrotate-setting", "own.yml:4", "INMANTA_LOGROTATE_KEEP: ", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with(rotationOverlay).write(map[string]string{".env": c.env})
			l.request.Environ = c.shell
			if c.overlay != "" {
				l.write(map[string]string{"own.yml": c.overlay}).with("own.yml")
			}
			l.checked(c.problems, c.warnings)
		})
	}
	// Without the sidecar nobody asks.
	l := newLab(t).write(map[string]string{".env": "INMANTA_LOGROTATE_KEEP=many\n"})
	l.checked(nil, nil)
}

// An operator's own configuration is read as the sidecar reads it, and stands in
// the place of the settings.
func TestRotationConfiguration(t *testing.T) {
	const (
		good   = "/var/log/inmanta/*.log {\n  daily\n  rotate 3\n  compress\n}\n"
		bad    = "/var/log/inmanta/*.log {\n  daily\n  rotate 3\n  postrotate\n    true\n  endscript\n  mail me\n}\n"
		file   = "services: {logrotate: {volumes: ['./logrotate.conf:/etc/inmanta-sidecar/logrotate.conf:ro']}}\n"
		above  = "services: {logrotate: {volumes: ['./sidecar:/etc/inmanta-sidecar:ro']}}\n"
		volume = "services: {logrotate: {volumes: ['mine:/etc/inmanta-sidecar']}}\nvolumes: {mine: {}}\n"
		text   = "services: {logrotate: {configs: [{source: mine, target: /etc/inmanta-sidecar/logrotate.conf}]}}\nconfigs: {mine: {content: \"/var/log/inmanta/*.log {\\n rotate 3\\n}\"}}\n"
	)
	refused := func(where string) []want {
		return []want{{"logrotate-file", where + ":4", "postrotate: no script", "take it out"}, {"logrotate-file", where + ":7", "mail: no mail", "take it out"}}
	}
	for name, c := range map[string]struct {
		env, overlay string
		files        map[string]string
		arrange      func(dir string) error
		problems     []want
		warnings     []want
	}{
		"a file":                        {overlay: file, files: map[string]string{"logrotate.conf": good}},
		"what is refused in it":         {overlay: file, files: map[string]string{"logrotate.conf": bad}, problems: refused("logrotate.conf")},
		"beside a wrong time zone":      {overlay: file, env: "INMANTA_LOGROTATE_TIMEZONE=here\n", files: map[string]string{"logrotate.conf": bad}, problems: append([]want{{"logrotate-setting", ".env:1", "no time zone \"here\"", ""}}, refused("logrotate.conf")...)},
		"settings that have no effect":  {overlay: file, env: "INMANTA_LOGROTATE_KEEP=many\nINMANTA_LOGROTATE_TIMEZONE=UTC\n", files: map[string]string{"logrotate.conf": good}, warnings: []want{{"logrotate-unheeded", ".env:1", "INMANTA_LOGROTATE_KEEP has no effect", "remove it"}}},
		"what changes nothing is noted": {overlay: file, files: map[string]string{"logrotate.conf": "missingok\n" + good}, warnings: []want{{"logrotate-note", "logrotate.conf:1", "missingok: a log that is missing", ""}}},
		"it is not there":               {overlay: file, problems: []want{{"logrotate-missing", "logrotate.conf", "it is not there", "put your logrotate configuration there"}}},
		"a folder":                      {overlay: file, files: map[string]string{"logrotate.conf/x": good}, problems: []want{{"logrotate-irregular", "logrotate.conf", "no file", "put a file there"}}},
		"an empty file":                 {overlay: file, files: map[string]string{"logrotate.conf": ""}, problems: []want{{"logrotate-file", "logrotate.conf:1", "it names no log", ""}}},
		"the folder above":              {overlay: above, files: map[string]string{"sidecar/logrotate.conf": bad}, problems: refused("sidecar/logrotate.conf")},
		"the folder above, without it":  {overlay: above, env: "INMANTA_LOGROTATE_KEEP=many\n", files: map[string]string{"sidecar/other": bad}, problems: []want{{"logrotate-setting", ".env:1", "INMANTA_LOGROTATE_KEEP: ", ""}}},
		"a volume, which nobody reads":  {overlay: volume},
		"a text of the compose files":   {overlay: text, problems: []want{{"logrotate-file", "own.yml:2, configs.mine:1", "it does not say when to rotate", "daily"}}},
		"a file of root's only": {
			overlay: file, files: map[string]string{"logrotate.conf": good}, arrange: func(dir string) error { return os.Chmod(dir+"/logrotate.conf", 0o600) },
			problems: []want{{"logrotate-unreadable", "logrotate.conf", "(uid 997) may not read", "chmod a+r"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": c.env, "own.yml": c.overlay}).write(c.files).with(rotationOverlay, "own.yml")
			for name := range c.files {
				if err := os.Chmod(l.dir+"/"+name, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.arrange != nil {
				if err := c.arrange(l.dir); err != nil {
					t.Fatal(err)
				}
			}
			l.checked(c.problems, c.warnings)
		})
	}
}
