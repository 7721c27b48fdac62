package postgres

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// Whatever the clocks of the two nodes say, and said when something was written
// down, they do the same.
func TestClocksDecideNothing(t *testing.T) {
	t.Parallel()
	const years = 365 * 24 * time.Hour
	for _, skew := range []time.Duration{-50 * years, -time.Second, time.Second, 50 * years} {
		noted := time.Now().Add(skew)
		peerSays := func(s *Status) *Status {
			if s == nil {
				return nil
			}
			other := *s
			other.LastFailure = Failure{noted.Add(-2 * skew), "something"}
			return &other
		}
		for _, test := range decisions() {
			s := test.s
			s.record.Since, s.peer = noted, peerSays(s.peer)
			if got := decide(s); got != decide(test.s) {
				t.Errorf("%s, %s off: %+v", test.name, skew, got)
			}
		}
		for _, test := range keepings() {
			k := primaryWith(test.change)
			k.record.Since, k.peer = noted, peerSays(k.peer)
			if got := keepPrimary(k); !slices.Equal(got, test.want) {
				t.Errorf("%s, %s off: %q", test.name, skew, got)
			}
		}
	}
}

// These are all the times that a node writes down or tells the other: one more is
// one more for the test above.
func TestTimesThatAreToldOrKept(t *testing.T) {
	t.Parallel()
	var found []string
	var look func(path string, what reflect.Type)
	look = func(path string, what reflect.Type) {
		switch {
		case what == reflect.TypeFor[time.Time]():
			found = append(found, path)
		case what.Kind() == reflect.Pointer || what.Kind() == reflect.Slice:
			look(path, what.Elem())
		case what.Kind() == reflect.Struct:
			for i := range what.NumField() {
				look(path+"."+what.Field(i).Name, what.Field(i).Type)
			}
		}
	}
	look("Record", reflect.TypeFor[Record]())
	look("Status", reflect.TypeFor[Status]())
	for _, order := range []any{inStep{}, takeOver{}, Failover{}} {
		look("order", reflect.TypeOf(order))
	}
	if want := []string{"Record.Since", "Status.LastFailure.At"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}
