package plan

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

// Observed is what the engine has for one project, as plain data.
type Observed struct {
	Project    string
	Containers []ObservedContainer
	Networks   []ObservedNetwork
	Volumes    []ObservedVolume
	// Images are those that were asked for, by reference, and those that the
	// containers were made from, by ID. What is not on the engine is not here.
	Images map[string]ImageFacts
}

// ObservedContainer is one container of the project.
type ObservedContainer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Service and Number are the service it was made for and which one of its
	// containers this is, from 1.
	Service string `json:"service"`
	Number  int    `json:"number"`
	// OneOff is true for what `run` made.
	OneOff bool `json:"one_off"`
	// State is created, running, paused, restarting, removing, exited or dead.
	State container.ContainerState `json:"state"`
	// Health is starting, healthy or unhealthy; empty without a health check.
	Health container.HealthStatus `json:"health"`
	// ExitCode is that of the last time it ended.
	ExitCode int `json:"exit_code"`
	// OOMKilled says that it ended for want of memory.
	OOMKilled bool `json:"oom_killed"`
	// Created, Started and Finished are zero, and not in the JSON, where that has
	// not happened yet.
	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Restarts is how often the engine restarted it by itself.
	Restarts int `json:"restarts"`
	// Image is the reference it was made with, ImageID what that was then.
	Image   string `json:"image"`
	ImageID string `json:"image_id"`
	// ConfigHash, ImageDigest and ComposeVersion are Compose's labels.
	ConfigHash     string `json:"-"`
	ImageDigest    string `json:"-"`
	ComposeVersion string `json:"-"`
	// What it was made with. Environment and arguments may hold secrets, which
	// is why none of this is part of the JSON.
	Config    container.Config                     `json:"-"`
	Host      container.HostConfig                 `json:"-"`
	Mounts    []container.MountPoint               `json:"-"`
	Endpoints map[string]*network.EndpointSettings `json:"-"`
	// Files are the files asked for, by path; what is no plain file, or not
	// there at all, has the zero Content, which no text has.
	Files map[string]Content `json:"-"`
}

// ObservedNetwork is one network.
type ObservedNetwork struct {
	ID, Name, Driver                 string
	Labels, Options                  map[string]string
	Internal, Attachable, EnableIPv6 bool
	// Subnets are as the engine prints them; those it chose itself, too.
	Subnets []string
}

// ObservedVolume is one volume.
type ObservedVolume struct {
	Name, Driver    string
	Labels, Options map[string]string
}

// ImageFacts are an image's identity and what containers inherit from it.
type ImageFacts struct {
	ID string
	// Tagged is when the reference was last put on it here.
	Tagged                       time.Time
	Env, Cmd, Entrypoint         []string
	Labels                       map[string]string
	ExposedPorts, Volumes        []string
	User, WorkingDir, StopSignal string
	Healthcheck                  *container.HealthConfig
}

// Content identifies what is in a file without keeping it. It compares with ==
// and prints as "[hidden]".
type Content struct {
	sum [sha256.Size]byte
}

// ContentOf identifies a text.
func ContentOf(text string) Content { return Content{sha256.Sum256([]byte(text))} }

// Format implements fmt.Formatter, for every verb.
func (Content) Format(state fmt.State, _ rune) { fmt.Fprint(state, hidden) }

// MarshalText implements encoding.TextMarshaler.
func (Content) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// anonymous says that a volume has no name but the one the engine gave it.
func anonymous(m container.MountPoint) bool {
	if m.Type != mount.TypeVolume || len(m.Name) != 64 {
		return false
	}
	for _, c := range m.Name {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
