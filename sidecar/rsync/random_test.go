package rsync

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// grow makes a tree of few names, so that two trees have much in common, and
// much that is in each other's way.
func grow(t *testing.T, random *rand.Rand, top string, depth int) {
	t.Helper()
	names := []string{"a", "b", "a-b", "a.b", "ab", "A", "a b", ".a", "b=", "a+"}
	must(t, os.Mkdir(top, 0o755))
	for _, name := range names {
		path := filepath.Join(top, name)
		when := time.Unix(1_600_000_000+random.Int64N(2)*3600, 0)
		mode := []os.FileMode{0o644, 0o600, 0o755}[random.IntN(3)]
		switch random.IntN(6) {
		case 0:
			if depth > 0 {
				grow(t, random, path, depth-1)
				must(t, os.Chmod(path, mode|0o700))
			}
		case 1, 2:
			must(t, os.WriteFile(path, noise(random.Uint64N(3), random.IntN(3)*1000), 0o600))
			must(t, os.Chmod(path, mode))
		case 3:
			must(t, os.Symlink(names[random.IntN(len(names))], path))
		default:
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			must(t, setLinkTime(path, when))
		}
	}
	must(t, setLinkTime(top, time.Unix(1_600_000_000, 0)))
}

// Whatever two trees look like, our server and rsync's make the same of them.
// RSYNC_SEEDS is how many pairs are tried.
func TestRandomTreesAreLikeRsync(t *testing.T) {
	seeds := 25
	if given := os.Getenv("RSYNC_SEEDS"); given != "" {
		_, err := fmt.Sscan(given, &seeds)
		must(t, err)
	}
	choices := []string{
		"--delete", "--delete-after", "--delete-delay", "--delete-before", "--delete-excluded", "--exclude=a", "--exclude=b/", "--include=a/a", "--exclude=/a-b",
		"-c", "-u", "-b", "--suffix=.x", "--backup-dir=kept", "-z", "--inplace", "-H", "-I", "--size-only", "--existing", "--ignore-existing", "-m",
		"--force", "-S", "-W", "--no-perms", "--no-times", "--no-links", "-L", "-k", "--safe-links", "--copy-unsafe-links", "-O", "--max-delete=3", "--protocol=29", "--protocol=30",
		"-n", "--append", "--max-size=1500", "-R", "-C", "--numeric-ids", "-E",
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 5))
			// Our server knows no other way, and the order of deletions depends on it.
			args := []string{"-ai", "--no-inc-recursive"}
			for range random.IntN(5) {
				args = append(args, choices[random.IntN(len(choices))])
			}
			all := " " + strings.Join(args, " ") + " "
			// What our server refuses, and what rsync itself does.
			if strings.Contains(all, " --inplace ") && strings.Contains(all, " -b ") || strings.Contains(all, " --append ") && strings.Contains(all, "b") {
				args = args[:2]
			}
			if random.IntN(2) == 0 {
				args = append(args, "src/", "host:dst/")
			} else {
				args = append(args, "host:src/", "dst/")
			}
			tops := [2]string{t.TempDir(), t.TempDir()}
			for _, top := range tops {
				trees := rand.New(rand.NewPCG(uint64(seed), 6))
				grow(t, trees, filepath.Join(top, "src"), 2)
				grow(t, trees, filepath.Join(top, "dst"), 2)
			}
			got, want := transfer(t, tops[0], ours(t), args...), transfer(t, tops[1], client(t), args...)
			if got.code != want.code || quiet(got.stdout) != quiet(want.stdout) {
				t.Errorf("%q: exit code %d, rsync's is %d\n%s\n%s\n%s", args, got.code, want.code, difference(quiet(got.stdout), quiet(want.stdout)), got.stderr, want.stderr)
			}
			times := !strings.Contains(all, "--no-times")
			if a, b := recent(snapshot(t, tops[0], times), times), recent(snapshot(t, tops[1], times), times); a != b {
				t.Errorf("%q: files differ:\n%s", args, difference(a, b))
			}
		})
	}
}
