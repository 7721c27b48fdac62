package postgres

import "testing"

const controlText = `pg_control version number:            1700
Catalog version number:               202406281
Database system identifier:           7712813525923094591
Database cluster state:               in archive recovery
pg_control last modified:             Fri Nov 27 11:38:43 2026
Latest checkpoint location:           0/3000238
Latest checkpoint's REDO location:    0/3000238
Latest checkpoint's TimeLineID:       2
Minimum recovery ending location:     1/A0
Min recovery ending loc's timeline:   3
Data page checksum version:           1
`

func TestParseControlData(t *testing.T) {
	t.Parallel()
	got, err := parseControlData(controlText)
	want := controlData{System: "7712813525923094591", State: "in archive recovery", Timeline: 3, Checkpoint: 0x3000238, RecoveryEnd: 0x1000000a0, Checksums: true}
	if err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	if got.end() != 0x1000000a0 || got.clean() {
		t.Errorf("end %s, clean %v", got.end(), got.clean())
	}
	if _, err := parseControlData("Database system identifier: 1\n"); err == nil {
		t.Error("half of it is taken for the whole")
	}
}

func TestParted(t *testing.T) {
	t.Parallel()
	history := []Branch{{1, 500}, {2, 900}}
	for _, test := range []struct {
		timeline uint32
		end      Position
		want     bool
	}{{3, 5000, false}, {2, 900, false}, {2, 901, true}, {1, 500, false}, {1, 501, true}, {4, 1, true}} {
		if got := parted(test.timeline, test.end, 3, history); got != test.want {
			t.Errorf("timeline %d up to %s: %v", test.timeline, test.end, got)
		}
	}
}

func FuzzControlData(f *testing.F) {
	f.Add(controlText)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseControlData(text); err == nil && (c.System == "" || c.end() == 0) {
			t.Errorf("%+v is no cluster", c)
		}
	})
}

func FuzzHistory(f *testing.F) {
	f.Add("1\t0/3000200\tno recovery target specified\n\n2\t0/3000FD8\tno recovery target specified\n")
	f.Add("# x")
	f.Fuzz(func(t *testing.T, text string) {
		branches, err := parseHistory(text)
		for _, b := range branches {
			again, e := parsePosition(b.End.String())
			if err == nil && (e != nil || again != b.End) {
				t.Errorf("%s is read as %s", b.End, again)
			}
		}
	})
}
