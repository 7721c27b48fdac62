package pair

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// What is read here is what the agent writes: each field has its name there, and
// comes through.
func TestTheAgentSaysWhatIsRead(t *testing.T) {
	t.Parallel()
	written := func(value any) map[string]any {
		t.Helper()
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	at := time.Date(2026, 11, 27, 11, 38, 30, 0, time.UTC)
	status := postgres.Status{
		Node: "db", Peer: "db-replica", Role: postgres.Primary, State: postgres.StateServing, Why: "why", Fix: "fix", Running: true, Version: "17", System: "1",
		Timeline: 2, Position: 3, SizeBytes: 4, Checksums: true, Collations: []string{"c"}, Strict: true, Durable: true, Degraded: true, InStep: true,
		Replication: &postgres.Replication{State: "streaming", Sync: "sync", Flushed: 5, Replayed: 6, LagBytes: 7, LagSeconds: 8},
		Slot:        &postgres.Slot{State: "reserved", Active: true, KeptBytes: 9}, Waiting: 10, LastFailure: postgres.Failure{At: at, What: "what"},
	}
	text, err := json.Marshal(postgres.Both{Status: status, Other: &status})
	if err != nil {
		t.Fatal(err)
	}
	said, other, err := Read(string(text))
	if err != nil || !reflect.DeepEqual(&said, other) {
		t.Fatalf("%v: %+v, and of the other %+v", err, said, other)
	}
	same(t, "", written(said), written(status))

	inspection := postgres.Inspection{Cluster: true, System: "1", Timeline: 2, End: 3, Alone: true}
	text, err = json.Marshal(inspection)
	if err != nil {
		t.Fatal(err)
	}
	found, err := ReadInspection(string(text))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "", written(found), written(inspection))
	for ours, theirs := range map[string]string{
		Primary: string(postgres.Primary), Standby: string(postgres.Standby),
		Serving: postgres.StateServing, Following: postgres.StateFollowing, Copying: postgres.StateCopying, Refusing: postgres.StateRefusing,
	} {
		if ours != theirs {
			t.Errorf("%q is %q there", ours, theirs)
		}
	}
}

// same fails unless each field that was read is what was written.
func same(t *testing.T, path string, read, written map[string]any) {
	t.Helper()
	for name, value := range read {
		if inner, is := value.(map[string]any); is {
			theirs, _ := written[name].(map[string]any)
			same(t, path+name+".", inner, theirs)
			continue
		}
		if reflect.ValueOf(value).IsZero() {
			t.Errorf("nothing is written of %s%s: the test cannot tell", path, name)
		}
		if !reflect.DeepEqual(value, written[name]) {
			t.Errorf("%s%s is read as %v, and is written as %v", path, name, value, written[name])
		}
	}
}
