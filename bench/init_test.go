package main

import "testing"

func TestInTests(t *testing.T) {
	for said, want := range map[string]float64{
		"tests/test_init.py .  [100%]\n\n===== 1 passed in 14.93s =====\n":                               14.93,
		"===== 1 passed, 2 warnings in 75.20s (0:01:15) =====\n":                                         75.2,
		`{"event":"output","detail":"1 passed in 3.10s"}` + "\n" + `{"event":"end","detail":"1 passed"}`: 3.1,
	} {
		if got, err := inTests([]byte(said)); err != nil || got != want {
			t.Errorf("%q: %g (%v), want %g", said, got, err, want)
		}
	}
	for _, said := range []string{"", "1 failed in 3.10s", "1 failed, 1 passed"} {
		if got, err := inTests([]byte(said)); err == nil {
			t.Errorf("%q is taken for %g s of success", said, got)
		}
	}
}

func TestInVerification(t *testing.T) {
	log := "a line of code-server's\n" + `{"event":"listening","seconds":9}` + "\n" + `{"event":"verified","text":"code-server 4","seconds":0.25}` + "\n"
	if got, err := inVerification([]byte(log)); err != nil || got != 0.25 {
		t.Errorf("%g (%v)", got, err)
	}
	if _, err := inVerification([]byte(`{"event":"listening"}`)); err == nil {
		t.Error("a log without it passes")
	}
}
