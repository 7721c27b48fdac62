package rsync

import (
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func hashed(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:8]
}

// noise is data that nothing compresses and no two blocks of which are alike,
// the same for the same seed.
func noise(seed uint64, length int) []byte {
	data := make([]byte, length)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	_, _ = source.Read(data)
	return data
}

// world is a directory with a tree "src" and another state of it, "dst".
func world(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	var directories []string
	dir := func(name string, mode os.FileMode) {
		must(t, os.MkdirAll(filepath.Join(top, name), 0o755))
		must(t, os.Chmod(filepath.Join(top, name), mode))
		directories = append(directories, name)
	}
	file := func(name string, data string, mode os.FileMode, age time.Duration) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(top, name), []byte(data), 0o600))
		must(t, os.Chmod(filepath.Join(top, name), mode))
		must(t, os.Chtimes(filepath.Join(top, name), when, when.Add(-age)))
	}
	link := func(name, target string) { must(t, os.Symlink(target, filepath.Join(top, name))) }
	big := string(noise(1, 60_000))
	changed := big[:20_000] + "something new" + big[20_000:40_000] + big[40_500:]

	dir("src", 0o755)
	dir("src/a/b/c", 0o755)
	dir("src/empty dir", 0o700)
	dir("src/closed", 0o555)
	dir("src/was a file", 0o755)
	file("src/closed/in", "inside", 0o444, 0)
	file("src/was a file/x", "x", 0o644, 0)
	file("src/was a dir", "now a file", 0o644, 0)
	file("src/same", "the same", 0o644, time.Hour)
	file("src/newer", "newer here", 0o644, 0)
	file("src/older", "older here", 0o644, 48*time.Hour)
	file("src/same size", "abcdef", 0o644, 0)
	file("src/mode only", "mode", 0o640, 0)
	file("src/run.sh", "#!/bin/sh\n", 0o755, 0)
	file("src/big", changed, 0o644, 0)
	file("src/longer", big+"and more", 0o644, 0)
	file("src/zeros", strings.Repeat("\x00", 30_000)+"end", 0o644, 0)
	file("src/empty", "", 0o644, 0)
	file("src/with space", "1", 0o644, 0)
	file("src/with\nnewline", "2", 0o644, 0)
	file("src/-dash", "3", 0o644, 0)
	file("src/grün λ", "4", 0o644, 0)
	file("src/"+strings.Repeat("n", 255), "5", 0o644, 0)
	file("src/a/b/c/deep", "deep", 0o644, time.Minute)
	file("src/a/b.txt", "t", 0o644, 0)
	file("src/a-b", "sorts between", 0o644, 0)
	file("src/a/x.pyc", "compiled", 0o644, 0)
	file("src/a/b/keep.log", "log", 0o644, 0)
	file("src/.git/HEAD", "ref", 0o644, 0)
	file("src/.gitignore", "*.pyc\n/env/\n# comment\n", 0o644, 0)
	file("src/a/.gitignore", "*.log\n", 0o644, 0)
	file("src/env/bin/python", "py", 0o755, 0)
	file("src/hard1", "one file", 0o644, 0)
	file("src/nano", "n", 0o644, 123456789)
	must(t, os.Link(filepath.Join(top, "src/hard1"), filepath.Join(top, "src/a/hard2")))
	must(t, os.Link(filepath.Join(top, "src/hard1"), filepath.Join(top, "src/hard3")))
	link("src/link", "a/b.txt")
	link("src/link to dir", "a")
	link("src/dangling", "nowhere")
	link("src/absolute", "/etc/hostname")
	link("src/a/up", "../../outside")
	link("src/changed link", "new target")
	must(t, syscall.Mkfifo(filepath.Join(top, "src/pipe"), 0o640))

	dir("dst", 0o755)
	dir("dst/was a dir/sub", 0o755)
	dir("dst/gone dir/sub", 0o755)
	file("dst/was a dir/sub/y", "y", 0o644, 0)
	file("dst/was a file", "once", 0o644, 0)
	file("dst/same", "the same", 0o644, time.Hour)
	file("dst/newer", "old", 0o644, 24*time.Hour)
	file("dst/older", "newer in the destination", 0o644, 0)
	file("dst/same size", "uvwxyz", 0o644, time.Hour)
	file("dst/mode only", "mode", 0o600, 0)
	file("dst/big", big, 0o600, time.Hour)
	file("dst/longer", big, 0o644, time.Hour)
	file("dst/zeros", strings.Repeat("\x01", 30_000), 0o644, time.Hour)
	file("dst/gone", "delete me", 0o644, 0)
	file("dst/gone~", "an old backup", 0o644, 0)
	file("dst/gone dir/f", "1", 0o644, 0)
	file("dst/gone dir/sub/keep.log", "2", 0o644, 0)
	file("dst/a/gone.log", "3", 0o644, 0)
	file("dst/a/b/gone too", "4", 0o644, 0)
	file("dst/.git/config", "kept when excluded", 0o644, 0)
	file("dst/env/kept", "5", 0o644, 0)
	link("dst/changed link", "old target")
	link("dst/link", "a/b.txt")
	link("dst/run.sh", "gone")
	slices.SortFunc(directories, func(a, b string) int { return len(b) - len(a) })
	for _, name := range directories {
		must(t, os.Chtimes(filepath.Join(top, name), when, when))
	}
	// Links and pipes made a moment apart must not differ.
	must(t, filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type()&(os.ModeSymlink|os.ModeNamedPipe) != 0 {
			err = setLinkTime(path, when)
		}
		return err
	}))
	for _, name := range []string{"src", "dst", "src/a", "src/a/b", "dst/a", "dst/a/b", "src/.git", "src/env", "src/env/bin", "dst/.git", "dst/env", "dst/was a dir", "dst/gone dir"} {
		must(t, os.Chtimes(filepath.Join(top, name), when, when))
	}
	return top
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quiet drops the lines of output that count bytes.
func quiet(output string) string {
	lines := slices.DeleteFunc(strings.Split(output, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "sent ") || strings.HasPrefix(line, "total size is") ||
			strings.Contains(line, "bytes/sec") || strings.HasPrefix(line, "Literal data") ||
			strings.HasPrefix(line, "File list ") || strings.HasPrefix(line, "Total bytes") ||
			strings.HasPrefix(line, "Matched data") || strings.Contains(line, "(xfr#") ||
			strings.Contains(line, "file list") || strings.Contains(line, "files to consider") ||
			strings.HasPrefix(line, "opening connection") || strings.HasPrefix(line, "total: matches") ||
			strings.HasPrefix(line, "delta-transmission") || strings.Contains(line, "expand file_list")
	})
	slices.Sort(lines)
	// rsync says some things twice.
	return strings.Join(slices.Compact(lines), "\n")
}

// A client must not be able to tell our server from rsync's own: the same
// options give the same files, the same output and the same exit code.
func TestServerIsLikeRsync(t *testing.T) {
	for _, options := range []string{
		"-a", "-r", "-rl", "-rlt", "-rp", "-rlE", "-rog", "-rD", "-d", "-a --no-o --no-g",
		"-ai", "-aii", "-av", "-avv", "-rvv", "-ani", "-anv --delete", "-a --stats",
		"-az", "-az --compress-level=9", "-az --zc=zlib", "-az --zc=zlibx", "-az --zc=none", "-az --old-compress",
		"-ac", "-aci", "-rc", "-au", "-aui", "-aI", "-aIi", "-a --size-only", "-rui",
		"-a --inplace", "-ai --inplace --no-W", "-aS", "-aS --inplace", "-aW", "-a --append", "-a --append-verify",
		"-a --partial", "-aP", "-a --fsync", "-a -B1000", "-a -B131072",
		"-a --delete", "-ai --delete", "-a --delete-before", "-a --delete-during", "-a --delete-delay", "-ai --delete-after",
		"-a --delete --force", "-a --force", "-ai --delete --max-delete=2", "-a --delete --max-delete=0", "-d --delete",
		"-rl --delete --exclude=.git --exclude=env", "-a --delete --exclude=*.log", "-a --delete-excluded --exclude=*.log --exclude=/gone",
		"-a --include=*/ --include=*.txt --exclude=*", "-am --include=*/ --include=*.txt --exclude=*", "-a --exclude=/a/b/", "-a --exclude=a/**/deep",
		"-a --filter=:-_.gitignore --delete", "-a --filter=:-_.gitignore --delete --delete-excluded", "-aC --delete", "-aF --delete",
		"-a --filter=P_gone* --delete", "-a --filter=H_*.txt --delete", "-a --filter=-p_*.log --delete", "-a --filter=-!_*/ --delete",
		"-a --filter=:n-_.gitignore", "-a --filter=dir-merge,e-_.gitignore", "-a --filter=-/_/nothing",
		"-a --existing", "-ai --existing --ignore-existing", "-a --ignore-existing", "-avv --ignore-existing", "-avv --existing",
		"-a --max-size=1k", "-a --min-size=1k", "-avv --max-size=30000",
		"-ab", "-ab --suffix=.old", "-ab --backup-dir=../old", "-abi --delete", "-ab --backup-dir=old --delete", "-ab --suffix=.bak --delete",
		"-aH", "-aHi", "-aHi --delete", "-aHn --itemize-changes", "-aHv",
		"-aL", "-rL", "-ak", "-a --copy-unsafe-links", "-a --safe-links", "-av --safe-links",
		"-aO", "-aJ", "-ax", "-axx --delete", "-a --modify-window=7200", "-ai -@-1", "-ai --modify-window=1",
		"-a --numeric-ids", "-a --chmod=F600,D700", "-a --timeout=30", "-a --bwlimit=100m", "-a --ignore-errors --delete",
		"-a --remove-source-files", "-a --checksum-choice=md5", "-a --checksum-choice=xxh64", "-ac --cc=md5,xxh64", "-a --checksum-seed=7",
		"-a --protocol=29", "-ai --protocol=29 --delete", "-aHi --protocol=29", "-acz --protocol=29", "-aii --protocol=30", "-aHz --protocol=30 --delete",
		"-a --protocol=29 --filter=:-_.gitignore --delete", "-a --protocol=31", "-aR --protocol=29 --delete",
		"-s -a", "-a --fuzzy", "-a --info=name2,skip", "-a --no-W --info=del", "-a -y --delete-after", "-a --mkpath", "-q -a",
	} {
		t.Run(strings.ReplaceAll(options, "/", "∕"), func(t *testing.T) {
			t.Parallel()
			for _, way := range [][]string{{"src/", "host:dst/"}, {"host:src/", "dst"}} {
				var args []string
				for option := range strings.FieldsSeq(options) {
					args = append(args, strings.ReplaceAll(option, "_", " "))
				}
				compare(t, append(args, way...))
			}
		})
	}
}

// The same for what is given as source and destination.
func TestPathsMeanTheSame(t *testing.T) {
	for _, args := range [][]string{
		{"-ai", "src/big", "host:dst/new name"},
		{"-ai", "src/big", "host:dst/big"},
		{"-ai", "src/big", "host:dst/"},
		{"-ai", "src/big", "host:fresh"},
		{"-ai", "src/big", "host:fresh/"},
		{"-ai", "src/big", "src/same", "host:fresh"},
		{"-ai", "src/big", "src/same", "host:dst/big"},
		{"-ai", "src/big", "host:no/such/way"},
		{"-ai", "src/a", "host:dst/big"},
		{"-ai", "--mkpath", "src/big", "host:deep/er/name"},
		{"-ai", "--mkpath", "src/a/", "host:deep/er"},
		{"-ain", "--mkpath", "src/a/", "host:deep/er/"},
		{"-ain", "src/a/", "host:fresh"},
		{"-ai", "src/a", "src/link to dir", "src/empty dir/", "host:dst"},
		{"-ai", "src/link to dir/", "host:fresh"},
		{"-ai", "TOP/src/a", "host:TOP/dst/"},
		{"-ai", "host:src/big", "out"},
		{"-ai", "host:src/big", "host:src/same", "out"},
		{"-ai", "host:src/link to dir", "host:src/a/", "out"},
		{"-ai", "host:src/link to dir/", "out"},
		{"-ai", "host:TOP/src/./a", "host:src/a/.", "host:src/a/b/..", "out"},
		{"-ai", "host:src/-dash", "host:src/with space", "host:src/grün λ", "out"},
		{"-ai", "src/nothing", "host:out"},
		{"-ai", "src/nothing", "src/big", "host:out"},
		{"-ai", "host:src/nothing", "out"},
		{"-ai", "host:src/nothing", "host:src/big", "out"},
		{"-ai", "host:nothing/", "out"},
		{"-ai", "--ignore-missing-args", "host:src/nothing", "host:src/big", "out"},
		{"-ai", "host:src/*.txt", "host:src/s*", "out"},
		{"-ai", "-s", "host:src/s*", "host:src/with space", "out"},
		{"-ai", "--old-args", "host:src/big src/same", "out"},
		{"host:src/"},
		{"-r", "host:src/a"},
		{"--list-only", "host:src/"},
		{"-aR", "src/a/b", "host:dst"},
		{"-aRi", "src/./a/b/c/deep", "src/./a-b", "host:dst"},
		{"-aRi", "--no-implied-dirs", "src/a/b/c", "host:dst"},
		{"-aRi", "--delete", "src/a/b", "src/a/", "host:dst"},
		{"-aRi", "--delete", "src/./a", "host:dst"},
		{"-aR", "TOP/src/a/b", "host:out"},
		{"-aR", "host:src/a/b", "dst"},
		{"-aRi", "host:src/./a/b/c/deep", "host:src/./a-b", "host:src/./a/b/", "dst"},
		{"-aRi", "--no-implied-dirs", "host:src/a/b/c", "dst"},
		{"-aR", "host:TOP/src/a/b", "out"},
		{"-aR", "host:./src/a", "out"},
		{"-rR", "--protocol=29", "host:src/a/b", "dst"},
		{"-rR", "--protocol=29", "src/a/b", "host:dst"},
		{"-dR", "host:src/a/b/", "dst"},
		{"-d", "host:src/a", "dst"},
		{"-d", "host:src/a/", "dst"},
		{"-ai", "--files-from=list", "src", "host:dst"},
		{"-ai", "--files-from=list", "host:src", "dst"},
		{"-ai", "--files-from=list", "--no-R", "host:src", "out"},
		{"-ari", "--files-from=list", "host:src", "out"},
		{"-ai", "--files-from=list", "--protocol=30", "host:src", "out"},
		{"-ai", "--files-from=list", "--protocol=29", "src", "host:out"},
		{"-ai", "--files-from=list0", "--from0", "host:src", "dst"},
		{"-ai", "--files-from=:list", "host:src", "dst"},
		{"-ai", "--files-from=:list", "src", "host:dst"},
		{"-ai", "--files-from=:list0", "--from0", "src", "host:out"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(args, " "), "/", "∕"), func(t *testing.T) {
			t.Parallel()
			compare(t, args)
		})
	}
}

// compare runs the same client with both servers, in equal worlds.
func compare(t *testing.T, args []string) {
	t.Helper()
	here, there := world(t), world(t)
	for _, top := range []string{here, there} {
		must(t, os.WriteFile(filepath.Join(top, "list"), []byte("# a list\na/b.txt\n/a/b/\n\n./same\nwith space\n../src/big\nnothing\n"), 0o600))
		must(t, os.WriteFile(filepath.Join(top, "list0"), []byte("a/b.txt\x00with\nnewline\x00big"), 0o600))
	}
	absolute := func(top string) []string {
		with := slices.Clone(args)
		for i, arg := range with {
			// The fake shell starts in the client's directory, as ssh would in
			// the user's home.
			with[i] = strings.ReplaceAll(arg, "TOP", top)
		}
		return with
	}
	want := transfer(t, there, client(t), absolute(there)...)
	got := transfer(t, here, ours(t), absolute(here)...)
	if got.code != want.code {
		t.Errorf("%q: exit code %d, rsync's server gives %d\n%s", args, got.code, want.code, got.stderr)
	}
	if a, b := strings.ReplaceAll(quiet(got.stdout), here, ""), strings.ReplaceAll(quiet(want.stdout), there, ""); a != b {
		t.Errorf("%q: output differs:\n%s", args, difference(a, b))
	}
	if (got.stderr == "") != (want.stderr == "") {
		t.Errorf("%q: messages are\n%s, rsync's server gives\n%s", args, got.stderr, want.stderr)
	}
	times := slices.ContainsFunc(args, func(arg string) bool {
		return strings.HasPrefix(arg, "-a") || strings.HasPrefix(arg, "-rlt")
	})
	// Whole paths in the destination end in the directory of the one test.
	general := func(top string) string {
		name := "/" + filepath.Base(top)
		return strings.NewReplacer(name+"/", "/top/", name+`"`, `/top"`).Replace(recent(snapshot(t, top, times), times))
	}
	a, b := general(here), general(there)
	if a != b {
		t.Errorf("%q: files differ:\n%s", args, difference(a, b))
	}
}

// recent drops times of this test: those of what is not transferred.
func recent(snapshot string, times bool) string {
	lines := strings.Split(snapshot, "\n")
	for i, line := range lines {
		if cut := strings.LastIndexByte(line, ' '); times && cut >= 0 && line[cut+1:] > "2021" {
			lines[i] = line[:cut]
		}
	}
	return strings.Join(lines, "\n")
}

// difference shows the lines that only one of two texts has.
func difference(ours, theirs string) string {
	mine, other := strings.Split(ours, "\n"), strings.Split(theirs, "\n")
	var b strings.Builder
	for _, line := range mine {
		if !slices.Contains(other, line) {
			b.WriteString("ours:  " + line + "\n")
		}
	}
	for _, line := range other {
		if !slices.Contains(mine, line) {
			b.WriteString("rsync: " + line + "\n")
		}
	}
	return b.String()
}
