package logrotate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
)

// Where things are in the container.
const (
	// Folder is the volume of the orchestrator's logs.
	Folder = "/var/log/inmanta"
	// stateFolder is the volume of the sidecar's own state.
	stateFolder = "/var/lib/inmanta-sidecar/logrotate"
	// ConfigurationFile replaces the settings, where one is mounted.
	ConfigurationFile = "/etc/inmanta-sidecar/logrotate.conf"
)

// FromEnvironment is the configuration in the container. What is wrong with it is
// in Problems.
func FromEnvironment(lookup func(string) string, log io.Writer) Config {
	c := Config{Folder: Folder, State: stateFolder, Address: address, Log: log}
	var wrong problem.List
	c.Policies, wrong = policies(ConfigurationFile, lookup)
	for _, p := range wrong {
		c.Problems = append(c.Problems, fmt.Sprintf("%s: %s; %s", p.Where, p.What, p.Fix))
	}
	return c
}

// policies are those of an operator's own file, or of the settings.
func policies(file string, lookup func(string) string) (policy.Policies, problem.List) {
	text, err := readAtMost(file, policy.LargestFile+1)
	if errors.Is(err, fs.ErrNotExist) {
		return policy.FromSettings(lookup)
	}
	if err != nil {
		return policy.Policies{}, problem.List{{ID: "logrotate-file", Where: file, What: err.Error(), Fix: "mount a file that the user inmanta can read"}}
	}
	zone, wrong := policy.Location(lookup)
	if len(wrong) > 0 {
		return policy.Policies{}, wrong
	}
	return policy.ParseFile(file, text, Folder, zone)
}

func readAtMost(path string, limit int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
		return "", errors.New("it is not a file")
	}
	text, err := io.ReadAll(io.LimitReader(file, limit))
	return string(text), err
}
