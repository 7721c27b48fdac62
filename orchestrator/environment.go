package orchestrator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// parallel is how many environments are asked about at once.
const parallel = 4

// Environment is one environment and how its deployment stands.
type Environment struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Project string `json:"project_id"`
	// Halted environments neither compile nor deploy.
	Halted bool `json:"halted"`
	// Compiling says that a compile runs now.
	Compiling bool `json:"compiling"`
	// Resources, Failed and Deploying count the resources of the version being
	// deployed; ByState is the same by every state the orchestrator knows.
	Resources int            `json:"resources"`
	Failed    int            `json:"failed"`
	Deploying int            `json:"deploying"`
	ByState   map[string]int `json:"by_state,omitempty"`
	// Unknown says why compiles and resources could not be asked for; empty
	// when they could.
	Unknown string `json:"unknown,omitempty"`
}

// Environments asks for every environment, by name, in one request and two more
// for each (GET /api/v2/environment, HEAD /api/v1/notify, GET /api/v2/resource
// with its summary). The orchestrator's scheduler_status says more, in
// megabytes. One environment that cannot be asked about is no error: it says so
// itself.
func (c *Client) Environments(ctx context.Context) ([]Environment, error) {
	const path = "/api/v2/environment"
	body, err := c.get(ctx, path, "")
	if err != nil {
		return nil, err
	}
	environments, err := decodeEnvironments(body)
	if err != nil {
		return nil, c.asking(path, err)
	}
	places := make(chan struct{}, parallel)
	var wait sync.WaitGroup
	for i := range environments {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			if err := c.detail(ctx, &environments[i]); err != nil {
				environments[i].Unknown = err.Error()
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, c.asking(path, err)
	}
	return environments, nil
}

// detail fills in what the list of environments does not say.
func (c *Client) detail(ctx context.Context, e *Environment) error {
	compiling, err := c.compiling(ctx, e.ID)
	if err != nil {
		return err
	}
	// No resource is wanted, but a limit of 0 means all of them.
	const path = "/api/v2/resource?limit=1&deploy_summary=true"
	body, err := c.get(ctx, path, e.ID)
	if err != nil {
		return err
	}
	summary, err := decodeSummary(body)
	if err != nil {
		return c.asking(path, err)
	}
	e.Compiling, e.Resources, e.ByState = compiling, summary.Total, summary.ByState
	e.Failed, e.Deploying = summary.ByState["failed"], summary.ByState["deploying"]
	return nil
}

func (c *Client) compiling(ctx context.Context, environment string) (bool, error) {
	path := "/api/v1/notify/" + url.PathEscape(environment)
	response, err := c.do(ctx, http.MethodHead, path, "")
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNoContent:
		return false, nil
	default:
		return false, c.asking(path, judge(response.StatusCode, "", nil))
	}
}

// decodeEnvironments reads the list of environments.
func decodeEnvironments(body []byte) ([]Environment, error) {
	var answer struct {
		Data *[]struct {
			ID      string `json:"id"`
			Name    string `json:"name"`
			Project string `json:"project_id"`
			Halted  bool   `json:"halted"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOrchestrator, err)
	}
	if answer.Data == nil {
		return nil, fmt.Errorf("%w: its answer holds no list of environments", ErrNotOrchestrator)
	}
	environments := make([]Environment, 0, len(*answer.Data))
	for _, d := range *answer.Data {
		environments = append(environments, Environment{ID: d.ID, Name: d.Name, Project: d.Project, Halted: d.Halted})
	}
	slices.SortStableFunc(environments, func(a, b Environment) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return environments, nil
}

// summary counts the resources of an environment.
type summary struct {
	Total   int            `json:"total"`
	ByState map[string]int `json:"by_state"`
}

// decodeSummary reads the summary that comes with a list of resources.
func decodeSummary(body []byte) (summary, error) {
	var answer struct {
		Metadata struct {
			Summary *summary `json:"deploy_summary"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return summary{}, fmt.Errorf("%w: %w", ErrNotOrchestrator, err)
	}
	if answer.Metadata.Summary == nil {
		return summary{}, fmt.Errorf("%w: its answer holds no summary of resources", ErrNotOrchestrator)
	}
	return *answer.Metadata.Summary, nil
}
