package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// get asks the orchestrator's API.
func (s *stack) get(path string, into any) error {
	return s.call(http.MethodGet, path, "", nil, into)
}

// call asks the orchestrator's API about, or for something of, an environment;
// question and answer are JSON, and either may be nil.
func (s *stack) call(method, path, environment string, question, answer any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var body io.Reader
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if environment != "" {
		req.Header.Set("X-Inmanta-tid", environment)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// serverStatus is as much of /api/v1/serverstatus as the scenarios look at.
type serverStatus struct {
	Data struct {
		Product string
		Version string
	}
}

// serves fails the scenario unless the real orchestrator answers right now.
func (s *stack) serves() serverStatus {
	s.t.Helper()
	var status serverStatus
	if err := s.get("/api/v1/serverstatus", &status); err != nil {
		s.t.Fatalf("the orchestrator does not serve: %v", err)
	}
	if !strings.Contains(status.Data.Product, "Inmanta") || status.Data.Version == "" {
		s.t.Fatalf("something else than an orchestrator answers: %+v", status)
	}
	return status
}

// comesUp waits until the real orchestrator answers, after a tool that does not.
func (s *stack) comesUp() {
	s.t.Helper()
	s.eventually("the orchestrator serves", func() bool {
		var status serverStatus
		return s.get("/api/v1/serverstatus", &status) == nil
	})
	s.serves()
}

// project makes a project on the orchestrator, and projects lists them: data
// that a scenario can lose.
func (s *stack) project(name string) (id string) {
	s.t.Helper()
	var answer struct{ Data struct{ ID string } }
	if err := s.call(http.MethodPut, "/api/v2/project", "", map[string]string{"name": name}, &answer); err != nil {
		s.t.Fatalf("making project %s: %v", name, err)
	}
	return answer.Data.ID
}

func (s *stack) projects() []string {
	s.t.Helper()
	var answer struct{ Data []struct{ Name string } }
	if err := s.get("/api/v2/project", &answer); err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, p := range answer.Data {
		names = append(names, p.Name)
	}
	return names
}
