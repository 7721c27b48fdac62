package readiness

import (
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

// inspectedServer is what Engine 20.10 says of a healthy orchestrator.
func inspectedServer(t *testing.T) container.InspectResponse {
	t.Helper()
	text, err := os.ReadFile("testdata/inspect-server.json")
	if err != nil {
		t.Fatal(err)
	}
	var r container.InspectResponse
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	c := describe(inspectedServer(t))
	if c.Name != "lab-orchestrator" || c.Service != "server" || c.Image != "localhost/inmanta-docker/orchestrator:2027.2" ||
		c.State != "running" || c.Health != "healthy" || c.Started.IsZero() || !c.Finished.IsZero() || len(c.Probes) != 5 {
		t.Errorf("%+v", c)
	}
	if !c.restarted || c.oneShot || c.tty || c.logFile != "/var/log/inmanta/server.log" {
		t.Errorf("%+v", c)
	}
	if want := []need{{"db", "service_healthy"}}; !slices.Equal(c.needs, want) {
		t.Errorf("needs %v", c.needs)
	}
	if len(c.test) != 3 || c.test[0] != "bash" {
		t.Errorf("test %q", c.test)
	}
	if want := map[uint16][]netip.AddrPort{8888: {netip.MustParseAddrPort("127.0.0.1:18890")}}; !reflect.DeepEqual(c.published, want) {
		t.Errorf("published %v", c.published)
	}
	if len(c.addresses) != 1 || !slices.Equal(c.exposed, []uint16{8888}) {
		t.Errorf("addresses %v, exposed %v", c.addresses, c.exposed)
	}
}

func TestDescribeAlmostNothing(t *testing.T) {
	t.Parallel()
	if c := describe(container.InspectResponse{ID: "x", Name: "/y"}); c.ID != "x" || c.Name != "y" {
		t.Errorf("%+v", c)
	}
}

func TestOneShotLabelCountsOnlyWhereItEnds(t *testing.T) {
	t.Parallel()
	for policy, want := range map[container.RestartPolicyMode]bool{"": true, "no": true, "on-failure": true, "always": false, "unless-stopped": false} {
		r := inspectedServer(t)
		r.Config.Labels[OneShotLabel] = "true"
		r.HostConfig.RestartPolicy.Name = policy
		if got := describe(r).oneShot; got != want {
			t.Errorf("%q: %t", policy, got)
		}
	}
}

func TestCommandOfAHealthCheck(t *testing.T) {
	t.Parallel()
	tests := []struct{ test, shell, want []string }{
		{[]string{"CMD", "a", "b"}, nil, []string{"a", "b"}},
		{[]string{"CMD-SHELL", "a b"}, nil, []string{"/bin/sh", "-c", "a b"}},
		{[]string{"CMD-SHELL", "a b"}, []string{"bash", "-ec"}, []string{"bash", "-ec", "a b"}},
		{[]string{"NONE"}, nil, nil},
		{[]string{"CMD"}, nil, nil},
		{nil, nil, nil},
		{[]string{"WHAT", "a"}, nil, nil},
	}
	for _, test := range tests {
		if got := command(test.test, test.shell); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.test, got, test.want)
		}
	}
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"inmanta --log-file /a/b server": "/a/b", "inmanta --log-file=/c": "/c", "inmanta --log-file": "", "inmanta server": "", "": "",
	} {
		if got := logFile(strings.Fields(line)); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	if got := moment("2026-11-22T18:15:38.869393489Z"); !got.Equal(time.Date(2026, 11, 22, 18, 15, 38, 869393489, time.UTC)) {
		t.Error(got)
	}
	for _, text := range []string{"0001-01-01T00:00:00Z", "", "yesterday"} {
		if !moment(text).IsZero() {
			t.Errorf("%q is no time", text)
		}
	}
}

func FuzzNeeds(f *testing.F) {
	f.Add("db:service_healthy:false,init:service_completed_successfully:true")
	f.Add(",:,a,a:b:c:d")
	f.Fuzz(func(t *testing.T, label string) {
		for _, n := range needs(label) {
			if n.service == "" || strings.ContainsAny(n.service+n.condition, ",:") {
				t.Errorf("%q: %+v", label, n)
			}
		}
	})
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	want := []need{{"db", "service_healthy"}, {"init", completed}, {"old", ""}}
	if got := needs("db:service_healthy:false,init:service_completed_successfully:true,old"); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := needs(""); got != nil {
		t.Errorf("%+v", got)
	}
}
