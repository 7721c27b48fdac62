package database

import (
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
)

// How far pg_dump is comes from what it says, and within a table from the server.
func TestWatcher(t *testing.T) {
	t.Parallel()
	var told []int64
	w := watch([]Table{
		{Schema: "public", Name: "agent", Bytes: 100, Rows: 10}, {Schema: "public", Name: "resource", Bytes: 1000, Rows: 50}, {Schema: "lsm", Name: "service", Bytes: 10, Rows: -1},
	}, func(read int64) { told = append(told, read) })
	for _, said := range []string{
		"pg_dump: last built-in OID is 16383\npg_dump: dumping contents of table \"public.agent\"\n",
		"pg_dump: dumping contents of", " table \"public.resource\"\n",
	} {
		if n, err := w.Write([]byte(said)); n != len(said) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.rows("public.resource", 25)
	w.rows("public.agent", 5)       // what was asked before it went on
	w.rows("public.resource", 1000) // more than the server guessed there are
	_, _ = w.Write([]byte("pg_dump: dumping contents of table \"lsm.service\"\n"))
	w.rows("lsm.service", 5) // of nobody knows how many
	if want := []int64{0, 100, 600, 1100, 1100}; !slices.Equal(told, want) {
		t.Errorf("told %d, want %d", told, want)
	}
	if got := printed.LastLine(w.said.String()); !strings.Contains(got, "lsm.service") {
		t.Errorf("the last it said is %q", got)
	}
}
