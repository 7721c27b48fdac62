package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/engine"
)

// What is packed: as many files as a state volume with the Python environments
// of 20 compiled projects has, and as large as those are.
const (
	volumeFiles   = 50_000
	longestFile   = 256 << 10
	typicalSize   = 3000 // bytes: half of the files are smaller
	volumePairs   = 10
	unpackPairs   = 4
	passedThrough = 2 << 30
	passPairs     = 3
)

// volumes are the rows about the state volume as a stream, beside GNU tar and zstd.
func volumes(ctx context.Context, w *workshop, chosen choice) error {
	packs, passes := chosen.has("volume: pack, unpack"), chosen.has("volume: through the engine")
	if packs {
		if err := packing(ctx, w); err != nil {
			return err
		}
	}
	if passes {
		return passing(ctx, w)
	}
	return nil
}

// packing compares both ways with a tree of many files.
func packing(ctx context.Context, w *workshop) error {
	dir, err := os.MkdirTemp("", name+"-volume-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	bytes, err := makeTree(ctx, tree)
	if err != nil {
		return err
	}
	sidecar, ours, theirs := filepath.Join(w.tools, "inmanta-sidecar"), filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	settle := func(context.Context) error { return settled(dir) }
	a, b, err := interleave(ctx, volumePairs, settle,
		func(ctx context.Context) (sample, error) {
			return piped(ctx, os.DevNull, ours, sidecar, "volume", "pack", tree)
		},
		func(ctx context.Context) (sample, error) {
			return piped(ctx, os.DevNull, theirs, "sh", "-c", `tar -c -C "$0" . | zstd -q -T0 -3`, tree)
		})
	if err != nil {
		return err
	}
	header("`tar`, `zstd`")
	what := fmt.Sprintf("packing a volume with 50,000 files, %.0f MB", float64(bytes)/1e6)
	rows := func(what string, pairs int, a, b []sample) {
		row(fmt.Sprintf("%s (%d pairs)", what, pairs), "≤ 1.00", seconds(a), seconds(b), "s", 2)
		row(what+": CPU", "", serverSeconds(a, 1), serverSeconds(b, 1), "s", 2)
		row(what+": peak memory of the largest process", "", mebibytes(a), mebibytes(b), "MiB", 1)
	}
	rows(what, volumePairs, a, b)
	sizes, err := sizesOf(ours, theirs)
	if err != nil {
		return err
	}
	row(what+": what comes out", "", sizes[:1], sizes[1:], "MB", 1)

	// Each time into another folder, and nothing is removed before all is done: ext4
	// looks long for the number of a new file while many were removed lately.
	var into string
	empty := func(context.Context) error {
		var err error
		into, err = os.MkdirTemp(dir, "into-")
		return errors.Join(err, settled(dir))
	}
	a, b, err = interleave(ctx, unpackPairs, empty,
		func(ctx context.Context) (sample, error) {
			return piped(ctx, ours, os.DevNull, sidecar, "volume", "unpack", into)
		},
		func(ctx context.Context) (sample, error) {
			return piped(ctx, theirs, os.DevNull, "sh", "-c", `zstd -q -d | tar -x -p -C "$0" && sync -f "$0"`, into)
		})
	if err != nil {
		return err
	}
	rows("unpacking it, synced", unpackPairs, a, b)
	return nil
}

// settled waits until nothing is written any more that an earlier run has left.
func settled(where string) error {
	file, err := os.Open(where)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(file.Fd())), file.Close())
}

// makeTree writes parts of Go's own source into files, and returns how many
// bytes they have. None of it is kept in memory, which would count as that of
// each process that is started from here.
func makeTree(ctx context.Context, where string) (all int64, err error) {
	text, err := sourceText(ctx, where+".text")
	if err != nil {
		return 0, err
	}
	defer text.Close()
	random := rand.New(rand.NewPCG(1, 2))
	part := make([]byte, longestFile)
	for n := range volumeFiles {
		folder := filepath.Join(where, fmt.Sprintf("env%02d/lib/module%03d", n/2500, n/50%50))
		if n%50 == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return 0, err
			}
		}
		size := min(int(typicalSize*math.Exp(1.3*random.NormFloat64())), longestFile)
		if _, err := text.ReadAt(part[:size], random.Int64N(sourceSize-longestFile)); err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file_%02d.py", n%50)), part[:size], 0o644); err != nil {
			return 0, err
		}
		all += int64(size)
	}
	return all, nil
}

// sourceSize is how much of Go's own source is taken, in bytes.
const sourceSize = 64 << 20

// sourceText is a file with Go's own source.
func sourceText(ctx context.Context, where string) (*os.File, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("asking where Go is: %w", err)
	}
	text, err := os.Create(where)
	if err != nil {
		return nil, err
	}
	var size int64
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case size > sourceSize:
			return fs.SkipAll
		case !d.Type().IsRegular() || filepath.Ext(path) != ".go":
			return nil
		}
		part, err := os.ReadFile(path)
		if err == nil {
			_, err = text.Write(part)
		}
		size += int64(len(part))
		return err
	})
	if err == nil && size < sourceSize {
		err = fmt.Errorf("the source of Go has only %d bytes", size)
	}
	if err != nil {
		return nil, errors.Join(err, text.Close())
	}
	return text, nil
}

// piped times a command from a file into another.
func piped(ctx context.Context, from, to, command string, args ...string) (sample, error) {
	in, err := os.Open(from)
	if err != nil {
		return sample{}, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return sample{}, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, command, args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	begin := time.Now()
	err = cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return sample{}, fmt.Errorf("%s %v: %w\n%s", command, args, err, said.String())
	}
	state := cmd.ProcessState
	return sample{
		took: took, server: state.UserTime() + state.SystemTime(),
		memory: state.SysUsage().(*syscall.Rusage).Maxrss * 1024,
	}, nil
}

// sizesOf are the sizes of files, in MB.
func sizesOf(paths ...string) ([]float64, error) {
	var sizes []float64
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, float64(info.Size())/1e6)
	}
	return sizes, nil
}

// passing compares how fast what a container prints arrives.
func passing(ctx context.Context, w *workshop) error {
	asked := exec.CommandContext(ctx, filepath.Join(w.tools, "inmanta-docker"), "config", "--images", "server")
	asked.Dir = w.dir
	answer, err := asked.Output()
	if err != nil {
		return fmt.Errorf("asking for the orchestrator's image: %w", err)
	}
	var image string // among those that it needs
	for line := range strings.Lines(string(answer)) {
		if strings.Contains(line, "orchestrator") {
			image = strings.TrimSpace(line)
		}
	}
	command := []string{"head", "-c", fmt.Sprint(passedThrough), "/dev/zero"}
	a, b, err := interleave(ctx, passPairs, nil,
		func(ctx context.Context) (sample, error) {
			begin := time.Now()
			result, err := w.engine.StreamOnce(ctx, engine.Once{Image: image, Command: command, Project: name}, nil, io.Discard)
			if err == nil && result.ExitCode != 0 {
				err = errors.New(result.Stderr)
			}
			return sample{took: time.Since(begin)}, err
		},
		func(ctx context.Context) (sample, error) {
			return piped(ctx, os.DevNull, os.DevNull, "docker", append([]string{"run", "--rm", "--network=none", "--log-driver=none", "--entrypoint=" + command[0], image}, command[1:]...)...)
		})
	if err != nil {
		return err
	}
	header("`docker run`")
	row(fmt.Sprintf("2 GiB out of a container, its start included (%d pairs)", passPairs), "", rates(a, passedThrough), rates(b, passedThrough), "MiB/s", 0)
	return nil
}
