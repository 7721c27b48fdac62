package readiness

import (
	"strings"
	"testing"
	"time"
)

func TestLoginIsNoObstacle(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "server", acts: []string{"serve=login"}, publish: 8888})
	stack.Orchestrator = "server"
	result, report := attend(t, engine, stack)
	if report != nil || result.API.URL == "" || result.API.Status != nil {
		t.Errorf("%+v, %+v", result, report)
	}
	containers, err := Observe(t.Context(), engine, stack.Project)
	if err != nil {
		t.Fatal(err)
	}
	api, url, err := Reach(t.Context(), engine, containers[0])
	if err != nil || url != result.API.URL {
		t.Errorf("reached at %q, %v", url, err)
	}
	api.Close()
}

// What only those can read who log in may be a warning, and warnings stay.
func TestStandingWarningIsNoObstacle(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "server", acts: []string{"serve=warned"}, publish: 8888})
	stack.Orchestrator = "server"
	result, report := attend(t, engine, stack)
	if report != nil || result.API.URL == "" || !strings.Contains(result.API.Reservation, "a warning or an error") {
		t.Errorf("%+v, %+v", result, report)
	}
}

func TestReservationHasToStand(t *testing.T) {
	t.Parallel()
	reserved := answered{why: reservation, api: API{Reservation: reservation}}
	for _, c := range []struct {
		a           answered
		stood, age  time.Duration
		serves      bool
		why         string
		reservation string
	}{
		{reserved, 0, time.Second, false, reservation, reservation},
		{reserved, standingFor - 1, grown - 1, false, reservation, reservation},
		{reserved, standingFor, 15 * time.Second, true, "", reservation},
		{reserved, 0, grown, true, "", reservation},
		{answered{why: silent}, grown, grown, false, silent, ""},
		{answered{serving: true}, 0, 0, true, "", ""},
	} {
		if got := c.a.settle(c.stood, c.age); got.serving != c.serves || got.why != c.why || got.api.Reservation != c.reservation {
			t.Errorf("%+v after %v, at %v: %+v", c.a, c.stood, c.age, got)
		}
	}
}
