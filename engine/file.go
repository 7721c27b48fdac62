package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// largestFile is what ReadFile reads at most, in bytes.
const largestFile = 1 << 20

// ReadFile reads a file in a container, its volumes included, whether it runs or
// not. The error is fs.ErrNotExist where there is no such file.
func (e *Engine) ReadFile(ctx context.Context, container, path string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("reading %s in container %s: %w", path, container, err)
	}
	copied, err := e.API().CopyFromContainer(ctx, container, client.CopyFromContainerOptions{SourcePath: path})
	if errdefs.IsNotFound(err) {
		return fail(fs.ErrNotExist)
	}
	if err != nil {
		return fail(err)
	}
	defer copied.Content.Close()
	archive := tar.NewReader(copied.Content)
	header, err := archive.Next()
	switch {
	case err != nil:
		return fail(err)
	case header.Typeflag != tar.TypeReg:
		return fail(errors.New("it is no file"))
	case header.Size > largestFile:
		return fail(fmt.Errorf("it has %d bytes, more than %d", header.Size, largestFile))
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return fail(err)
	}
	return text, nil
}

// WriteFile puts a small file into a folder of a container, its volumes
// included, whether it runs or not. It belongs to root, and everybody may read it.
func (e *Engine) WriteFile(ctx context.Context, container, folder, name string, text []byte) error {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = writer.Write(text)
	}
	if err == nil {
		err = writer.Close()
	}
	if err == nil {
		_, err = e.API().CopyToContainer(ctx, container, client.CopyToContainerOptions{DestinationPath: folder, Content: &archive})
	}
	if err != nil {
		return fmt.Errorf("writing %s/%s in container %s: %w", folder, name, container, err)
	}
	return nil
}
