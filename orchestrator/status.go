package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Status is what the orchestrator says of itself.
type Status struct {
	Product string `json:"product"`
	Edition string `json:"edition"`
	Version string `json:"version"`
	// Reported is the worst of what the slices report: OK, Warning or Error;
	// empty from versions that do not say.
	Reported string `json:"reported,omitempty"`
	// Python and PostgreSQL are the versions it runs on; empty where it does not say.
	Python     string      `json:"python,omitempty"`
	PostgreSQL string      `json:"postgresql,omitempty"`
	Extensions []Extension `json:"extensions"`
	Slices     []Slice     `json:"slices"`
}

// Extension is one part that was installed with the orchestrator.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Slice is one service inside the orchestrator.
type Slice struct {
	Name string `json:"name"`
	// Reported is OK, Warning or Error; empty from versions that do not say.
	Reported string `json:"reported,omitempty"`
	// Message says more about a warning or an error.
	Message string `json:"message,omitempty"`
	// Running is what slices with something to run say of it; the others say nothing.
	Running *bool `json:"running,omitempty"`
	// Connected is whether the database slice has its database; the others say nothing.
	Connected *bool `json:"connected,omitempty"`
}

// databaseSlice is the one that says whether the database is connected.
const databaseSlice = "core.database"

// Status asks the orchestrator for its status (GET /api/v1/serverstatus).
func (c *Client) Status(ctx context.Context) (Status, error) {
	const path = "/api/v1/serverstatus"
	body, err := c.get(ctx, path, "")
	if err != nil {
		return Status{}, err
	}
	status, err := decodeStatus(body)
	if err != nil {
		return Status{}, c.asking(path, err)
	}
	return status, nil
}

// Serving says whether an orchestrator of that status does its work: every
// slice runs and the database is connected. A warning is no obstacle. Where the
// answer is no, why is a clause that names the slices at fault.
func Serving(s Status) (ok bool, why string) {
	var faults []string
	database := false
	for _, slice := range s.Slices {
		if fault := slice.fault(); fault != "" {
			faults = append(faults, slice.Name+" "+fault)
		}
		database = database || slice.Name == databaseSlice
	}
	if !database {
		faults = append(faults, databaseSlice+" is missing")
	}
	return len(faults) == 0, strings.Join(faults, "; ")
}

// fault is what keeps the slice from serving; empty when nothing does.
func (s Slice) fault() string {
	switch {
	case s.Running != nil && !*s.Running:
		return "is not running"
	case s.Name == databaseSlice && (s.Connected == nil || !*s.Connected):
		return "is not connected to the database"
	case s.Reported != "" && s.Reported != "OK" && s.Reported != "Warning":
		if s.Message == "" {
			return "reports " + s.Reported
		}
		return "reports " + s.Reported + ": " + s.Message
	default:
		return ""
	}
}

// decodeStatus reads the body of an answer to serverstatus.
func decodeStatus(body []byte) (Status, error) {
	var answer struct {
		Data struct {
			Product    string `json:"product"`
			Edition    string `json:"edition"`
			Version    string `json:"version"`
			Status     string `json:"status"`
			Python     string `json:"python_version"`
			PostgreSQL string `json:"postgresql_version"`
			Extensions []struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"extensions"`
			Slices []struct {
				Name     string                     `json:"name"`
				Status   map[string]json.RawMessage `json:"status"`
				Reported string                     `json:"reported_status"`
				Message  string                     `json:"message"`
			} `json:"slices"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrNotOrchestrator, err)
	}
	data := answer.Data
	if data.Product == "" || len(data.Slices) == 0 {
		return Status{}, fmt.Errorf("%w: its answer names no product or no slices", ErrNotOrchestrator)
	}
	s := Status{
		Product: data.Product, Edition: data.Edition, Version: data.Version,
		Reported: data.Status, Python: data.Python, PostgreSQL: data.PostgreSQL,
		Extensions: make([]Extension, 0, len(data.Extensions)),
		Slices:     make([]Slice, 0, len(data.Slices)),
	}
	for _, e := range data.Extensions {
		s.Extensions = append(s.Extensions, Extension(e))
	}
	for _, d := range data.Slices {
		slice := Slice{
			Name: d.Name, Reported: d.Reported, Message: d.Message,
			Running: truth(d.Status["running"]), Connected: truth(d.Status["connected"]),
		}
		// A slice that cannot say how it is puts an "error" in its place; older
		// versions leave it at that.
		if _, failed := d.Status["error"]; failed && slice.Reported == "" {
			slice.Reported = "Error"
			_ = json.Unmarshal(d.Status["error"], &slice.Message) // not text: the slice's name has to do
		}
		s.Slices = append(s.Slices, slice)
	}
	return s, nil
}

// truth is a JSON true or false; nil for anything else.
func truth(value json.RawMessage) *bool {
	var b *bool
	if json.Unmarshal(value, &b) != nil {
		return nil
	}
	return b
}
