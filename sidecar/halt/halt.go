package halt

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Times of the orchestrator, which halts and resumes an environment in 0.3 to 1 s
// (measured) and finishes what it is at before it is still.
const (
	requestPatience = 20 * time.Second
	// Settle is how long environments may go on with what they are at.
	Settle = 2 * time.Minute
	// resumePatience is how long the orchestrator may be away, such as for a
	// restart, before resuming is given up.
	resumePatience = 5 * time.Minute
	pause          = 200 * time.Millisecond
)

// Halting, Halted and Resumed are the lines on standard output that say how far it
// is: before the first is halted, when all are still, when all have been resumed.
const (
	Halting = "halting"
	Halted  = "halted"
	Resumed = "resumed"
)

// Login is the word before an orchestrator's address that says that the first line
// of the input is a token for it.
const Login = "--login"

// Orchestrator is the API of one.
type Orchestrator struct {
	base, token string
	http        *http.Client
}

// At is the orchestrator at base, such as "http://server:8888", for somebody who
// has a token; it is empty where none is asked for.
func At(base, token string) Orchestrator {
	return Orchestrator{strings.TrimRight(base, "/"), token, &http.Client{Timeout: requestPatience}}
}

// Run halts environments by their IDs; waits until nothing is compiled or deployed
// in them any more; says so on out; and resumes them when in ends or has a
// line. When it fails nothing is left halted that was not said to be.
func (o Orchestrator) Run(ctx context.Context, environments []string, in io.Reader, out io.Writer) (err error) {
	enough := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(in).ReadString('\n')
		close(enough)
	}()
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-enough:
			cancel()
		case <-stop.Done():
		}
	}()
	var halting []string
	defer func() {
		// Whatever was asked for to be halted, answered or not.
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), resumePatience)
		defer cancel()
		if failed := o.resume(again, environments, halting); failed != nil {
			err = errors.Join(err, failed)
			return
		}
		_, _ = fmt.Fprintln(out, Resumed)
	}()
	if _, err := fmt.Fprintln(out, Halting); err != nil {
		return fmt.Errorf("saying so: %w", err)
	}
	for _, id := range environments {
		err := o.act(stop, "halt", id)
		if !errors.Is(err, errLogin) {
			halting = append(halting, id)
		}
		if err != nil {
			return fmt.Errorf("halting environment %s: %w", id, err)
		}
	}
	if err := o.settle(stop, environments); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, Halted); err != nil {
		return fmt.Errorf("saying so: %w", err)
	}
	<-stop.Done()
	return ctx.Err()
}

// Resume resumes the environments: what one that was killed with its machine left.
func (o Orchestrator) Resume(ctx context.Context, environments []string) error {
	ctx, cancel := context.WithTimeout(ctx, resumePatience)
	defer cancel()
	return o.resume(ctx, environments, environments)
}

// errGone says that there is no such environment any more: nothing is halted.
var errGone = errors.New("there is no such environment")

// errLogin says that whoever asks is not let in: nothing was done.
var errLogin = errors.New("the orchestrator asks for a login")

// resume tries until each is resumed or ctx ends. Those that are not among halting
// were never halted from here: it does not insist where it is not let in. Of the
// others it does, as an orchestrator that starts may let in nobody at first.
func (o Orchestrator) resume(ctx context.Context, environments, halting []string) error {
	var failures []error
	for _, id := range environments {
		for {
			err := o.act(ctx, "resume", id)
			if err == nil || errors.Is(err, errGone) || errors.Is(err, errLogin) && !slices.Contains(halting, id) {
				break
			}
			if !wait(ctx) {
				failures = append(failures, fmt.Errorf("environment %s is left HALTED: %w", id, err))
				break
			}
		}
	}
	return errors.Join(failures...)
}

// settle waits until nothing is compiled or deployed in the environments.
func (o Orchestrator) settle(ctx context.Context, environments []string) error {
	limited, cancel := context.WithTimeout(ctx, Settle)
	defer cancel()
	for _, id := range environments {
		for {
			busy, err := o.busy(limited, id)
			if err == nil && !busy {
				break
			}
			if !wait(limited) {
				if err == nil || ctx.Err() != nil {
					err = fmt.Errorf("it still compiles or deploys after %s", Settle)
				}
				return fmt.Errorf("waiting for environment %s to be still: %w", id, err)
			}
		}
	}
	return nil
}

// wait waits a little; false when there is no time left. Nothing announces what
// is waited for.
func wait(ctx context.Context) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// act halts or resumes; both may be repeated.
func (o Orchestrator) act(ctx context.Context, action, environment string) error {
	_, _, err := o.ask(ctx, http.MethodPost, "/api/v2/actions/environment/"+action, environment)
	return err
}

// busy says whether an environment compiles or deploys.
func (o Orchestrator) busy(ctx context.Context, environment string) (bool, error) {
	code, _, err := o.ask(ctx, http.MethodHead, "/api/v1/notify/"+url.PathEscape(environment), "")
	if err != nil || code == http.StatusOK {
		return true, err
	}
	// No resource is wanted, but a limit of 0 means all of them.
	_, body, err := o.ask(ctx, http.MethodGet, "/api/v2/resource?limit=1&deploy_summary=true", environment)
	if err != nil {
		return true, err
	}
	var answer struct {
		Metadata struct {
			Summary struct {
				ByState map[string]int `json:"by_state"`
			} `json:"deploy_summary"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return true, fmt.Errorf("reading how the deployment stands: %w", err)
	}
	return answer.Metadata.Summary.ByState["deploying"] > 0, nil
}

// ask is one request; what is no success is an error.
func (o Orchestrator) ask(ctx context.Context, method, path, environment string) (code int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, o.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if environment != "" {
		request.Header.Set("X-Inmanta-tid", environment)
	}
	if o.token != "" {
		request.Header.Set("Authorization", "Bearer "+o.token)
	}
	response, err := o.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, nil, err
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return response.StatusCode, nil, errGone
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return response.StatusCode, nil, errLogin
	case response.StatusCode >= 300:
		return response.StatusCode, nil, fmt.Errorf("%s answers %s: %.200s", path, response.Status, body)
	}
	return response.StatusCode, body, nil
}
