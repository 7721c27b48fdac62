package volume

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killAt is, in the environment of a child of these tests, how many steps of
// those whose name begins as killStep it takes before it is gone.
const (
	killAt   = "INMANTA_VOLUME_TEST_KILL_AT"
	killStep = "INMANTA_VOLUME_TEST_KILL_STEP"
	killed   = 99
)

// TestMain lets this binary be a process that is killed.
func TestMain(m *testing.M) {
	if os.Getenv(killAt) == "" {
		os.Exit(m.Run())
	}
	left, err := strconv.Atoi(os.Getenv(killAt))
	reached = func(step string) {
		if !strings.HasPrefix(step, os.Getenv(killStep)) {
			return
		}
		if left--; left < 0 {
			os.Exit(killed)
		}
	}
	if err == nil {
		err = Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child runs a verb on a volume in a process that is killed after so many steps,
// and says whether it was.
func child(t *testing.T, word, volume, step string, after int) (was bool) {
	t.Helper()
	command := exec.Command(os.Args[0], word, volume)
	command.Env = append(os.Environ(), killAt+"="+strconv.Itoa(after), killStep+"="+step)
	said, err := command.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == killed {
		return true
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", word, err, said)
	}
	return false
}

// sides is a volume, what was in it, and what was unpacked beside that.
type sides struct {
	volume   string
	old, new string // listings
}

// twoSides makes one. Some names are on both sides.
func twoSides(t *testing.T, random *rand.Rand) sides {
	t.Helper()
	s := sides{volume: t.TempDir()}
	from := t.TempDir()
	for n, where := range []string{s.volume, from} {
		for i := range 3 + random.IntN(5) {
			path := filepath.Join(where, fmt.Sprint(i*(1+n*random.IntN(2))), "f")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, fmt.Append(nil, where, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(where, []os.FileMode{0o2770, 0o711}[n]|os.ModeSetgid*os.FileMode(1-n)); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(where, 997-n, 995-n); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Setxattr(where, []string{"user.old", "user.new"}[n], []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.old, s.new = listing(t, s.volume), listing(t, from)
	stream, _ := pack(t, from)
	if _, err := Unpack(s.volume, Owners{}, bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, s.volume); got != s.old {
		t.Fatalf("unpacking has changed\n%s\nto\n%s", s.old, got)
	}
	return s
}

// whole says that nothing is lost and nothing is there twice, wherever it is: of
// each file of either side there is one.
func (s sides) whole(t *testing.T) {
	t.Helper()
	count := func(lines string) map[string]int {
		found := map[string]int{}
		for line := range strings.Lines(lines) {
			if strings.Contains(line, "/f\"") {
				found[strings.TrimSpace(line)]++
			}
		}
		return found
	}
	want, got := count(s.old+"\n"+s.new), count(listing(t, s.volume))
	for _, part := range []string{beforeName, newName} {
		path := filepath.Join(s.volume, restoreName, part)
		if _, err := os.Stat(path); err == nil {
			for line, n := range count(listing(t, path)) {
				got[line] += n
			}
		}
	}
	if !maps.Equal(want, got) {
		t.Fatalf("there are %v\nwant %v", got, want)
	}
}

func (s sides) phase(t *testing.T) Phase {
	t.Helper()
	r, err := openRestore(s.volume, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	return r.phase
}

// is says that the volume is what the side is, its own owner and mode included.
func (s sides) is(t *testing.T, side string) {
	t.Helper()
	if got := listing(t, s.volume); got != side {
		t.Fatalf("it is\n%s\nwant\n%s", got, side)
	}
}

var verbs = map[string]func(string) error{"swap": Swap, "swap-back": SwapBack}

// Killed at every step, a swap is completed by the next one, and undone by a swap
// back; and so is a swap back that was killed.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for first, second := range map[string]string{"swap": "swap-back", "swap-back": "swap"} {
		for _, then := range []string{first, second} {
			t.Run(first+", then "+then, func(t *testing.T) {
				t.Parallel()
				for after, was := 0, true; was; after++ {
					s := twoSides(t, rand.New(rand.NewPCG(1, 1)))
					if first == "swap-back" {
						if err := Swap(s.volume); err != nil {
							t.Fatal(err)
						}
					}
					was = child(t, first, s.volume, "", after)
					s.whole(t)
					if err := verbs[then](s.volume); err != nil {
						t.Fatalf("after step %d: %v", after, err)
					}
					s.reached(t, then)
				}
			})
		}
	}
}

// reached says that a verb has done what it is for.
func (s sides) reached(t *testing.T, verb string) {
	t.Helper()
	s.whole(t)
	if verb == "swap" {
		s.is(t, s.new)
	} else {
		s.is(t, s.old)
	}
	if got, want := s.phase(t), map[string]Phase{"swap": Swapped, "swap-back": Unpacked}[verb]; got != want {
		t.Fatalf("it is %s, want %s", got, want)
	}
}

// Killed at random, any number of times, whichever way it was going.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	const rounds, groups = 200, 4
	for group := range groups {
		t.Run(fmt.Sprint(group), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(group)))
			for range rounds / groups {
				s := twoSides(t, random)
				var path []string
				for range 1 + random.IntN(4) {
					verb := []string{"swap", "swap-back"}[random.IntN(2)]
					after := random.IntN(25)
					path = append(path, fmt.Sprint(verb, " until ", after))
					child(t, verb, s.volume, "", after)
					s.whole(t)
					if half := s.phase(t).half(); half && Discard(s.volume) == nil {
						t.Fatal("what is half done is discarded")
					}
				}
				verb := []string{"swap", "swap-back"}[random.IntN(2)]
				t.Logf("%v, then %s", path, verb)
				if err := verbs[verb](s.volume); err != nil {
					t.Fatal(err)
				}
				s.reached(t, verb)
				s.discarded(t, random, verb)
			}
		})
	}
}

// discarded discards what is not in use, killed meanwhile: what is in use stays,
// and nothing else can take its place any more.
func (s sides) discarded(t *testing.T, random *rand.Rand, verb string) {
	t.Helper()
	if child(t, "discard", s.volume, "removing", random.IntN(6)) {
		if Swap(s.volume) == nil || verb == "swap" && SwapBack(s.volume) == nil {
			t.Fatal("what is half removed takes the place of what is whole")
		}
	}
	for range 2 {
		if err := Discard(s.volume); err != nil {
			t.Fatal(err)
		}
	}
	s.is(t, map[string]string{"swap": s.new, "swap-back": s.old}[verb])
	if got := s.phase(t); got != None {
		t.Fatalf("it is %s", got)
	}
	if _, err := os.Lstat(filepath.Join(s.volume, restoreName)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("something is left: %v", err)
	}
}

// Killed for real, at any time.
func TestKilledByTheKernel(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	s := twoSides(t, random)
	for range 40 {
		verb := []string{"swap", "swap-back"}[random.IntN(2)]
		command := exec.Command(os.Args[0], verb, s.volume)
		command.Env = append(os.Environ(), killAt+"=1000000")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(20_000)) * time.Microsecond) // nothing else is random
		_ = command.Process.Kill()
		_ = command.Wait()
		s.whole(t)
		verb = slices.Collect(maps.Keys(verbs))[0]
		if err := verbs[verb](s.volume); err != nil {
			t.Fatal(err)
		}
		s.reached(t, verb)
	}
}

// A name that has come to be on both sides is not written over, on any way.
func TestNothingIsWrittenOver(t *testing.T) {
	t.Parallel()
	s := twoSides(t, rand.New(rand.NewPCG(2, 2)))
	if !child(t, "swap", s.volume, "before "+string(Swapped), 0) {
		t.Fatal("it was not killed")
	}
	stranger := filepath.Join(s.volume, restoreName, beforeName, "stranger")
	for _, path := range []string{stranger, filepath.Join(s.volume, "stranger")} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := SwapBack(s.volume); err != nil {
		t.Errorf("what came meanwhile goes with what was unpacked: %v", err)
	}
	if err := os.Rename(filepath.Join(s.volume, restoreName, newName, "stranger"), filepath.Join(s.volume, restoreName, newName, "0x")); err != nil {
		t.Fatal(err)
	}
	if !child(t, "swap", s.volume, "after "+string(MovingNew), 0) {
		t.Fatal("it was not killed")
	}
	if err := os.WriteFile(filepath.Join(s.volume, "0x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Swap(s.volume); err == nil || !strings.Contains(err.Error(), `moving "0x"`) {
		t.Errorf("two of a name: %v", err)
	}
}

// What somebody else has put there is not taken for a restore's.
func TestStrangersFolder(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(path string) error{
		"a link":              func(path string) error { return os.Symlink("own", path) },
		"a file":              func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"writable for others": func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o777)) },
		"a state of another": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, stateName), []byte(`{"phase":"odd"}`), 0o600))
		},
		"a state that is torn": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, stateName), []byte(`{"pha`), 0o600))
		},
		"a state that leads": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.Symlink("/etc/passwd", filepath.Join(path, stateName)))
		},
		"another's": func(path string) error {
			if os.Geteuid() != 0 {
				return os.WriteFile(path, nil, 0o600) // root's to give away
			}
			return errors.Join(os.Mkdir(path, 0o700), os.Chown(path, 997, 995))
		},
	} {
		volume, _ := place(t)
		stream, _ := pack(t, volume)
		if err := make(filepath.Join(volume, restoreName)); err != nil {
			t.Fatal(err)
		}
		for verb, do := range map[string]func() error{
			"unpack": func() error { _, err := Unpack(volume, Owners{}, bytes.NewReader(stream)); return err },
			"swap":   func() error { return Swap(volume) }, "swap-back": func() error { return SwapBack(volume) },
			"discard": func() error { return Discard(volume) }, "state": func() error { return PrintState(volume, &bytes.Buffer{}) },
		} {
			if err := do(); err == nil {
				t.Errorf("%s: %s is done", name, verb)
			}
		}
	}
}

// Two at once do not get into each other's way, nor is one begun before the last
// one has ended.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	s := twoSides(t, rand.New(rand.NewPCG(3, 3)))
	r, err := openRestore(s.volume, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := Swap(s.volume); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("while another is at it: %v", err)
	}
	r.close()
	if err := Swap(s.volume); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(s.volume, Owners{}, bytes.NewReader(nil)); err == nil || !strings.Contains(err.Error(), "is swapped") {
		t.Errorf("over one that is not discarded: %v", err)
	}
	s.reached(t, "swap")
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"phase":"swapped"}`))
	f.Add([]byte(`{"phase":"none"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := parsePhase(text); err == nil && (p == None || p == "") {
			t.Errorf("%q is taken for %q", text, p)
		}
	})
}
