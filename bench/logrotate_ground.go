package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ground is an ext4 of a rotator's own, in the place of its volume's folder.
// Before it takes an inode, ext4 looks at each one that was deleted within the
// last minutes: where logs are rotated once a day there are none, and after an
// earlier round of a measurement there are thousands.
type ground struct {
	image   string // the file that holds it
	mounted string // the folder; empty where it is not mounted
}

// groundSize is that of each file system, in bytes.
const groundSize = 512 << 20

// newGround makes the file, with all of its blocks written: to sync what is in it
// would else be to sync the file system beneath as well, ten times as slow.
func newGround(image string) (*ground, error) {
	file, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < groundSize && err == nil; at += int64(len(zeros)) {
		_, err = file.WriteAt(zeros, at)
	}
	return &ground{image: image}, errors.Join(err, file.Sync(), file.Close())
}

// renew lets a rotator start again on a new file system, with nothing in it.
func (g *ground) renew(ctx context.Context, d *rotationDuel, r *rotator) error {
	if err := errors.Join(d.w.engine.Stop(ctx, r.id), g.unmount()); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "65536", "-E", fmt.Sprintf("nodiscard,root_owner=%d:%d", d.uid, d.gid), g.image},
		{"mount", "-o", "loop", g.image, r.logs},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", command, err, out)
		}
	}
	g.mounted = r.logs
	return errors.Join(r.empty(), d.start(ctx, r))
}

// start starts a rotator again and waits until it can be told to rotate.
func (d *rotationDuel) start(ctx context.Context, r *rotator) error {
	err := d.w.engine.Start(ctx, r.id)
	if err != nil {
		return err
	}
	if r.server, err = d.w.find(ctx, r.name); err != nil {
		return err
	}
	_, err = until(ctx, func() error { return d.w.inside(ctx, r.server, r.ready...) })
	return err
}

func (g *ground) unmount() error {
	if g.mounted == "" {
		return nil
	}
	if out, err := exec.Command("umount", g.mounted).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w\n%s", g.mounted, err, out)
	}
	g.mounted = ""
	return nil
}

// onGround lets each rotate what fill makes, on a new file system every time. They
// have their volumes again afterwards.
func (d *rotationDuel) onGround(ctx context.Context, times, archives int, fill func(r *rotator) error, rotators ...*rotator) (all []turn, err error) {
	grounds := map[*rotator]*ground{}
	for _, r := range rotators {
		g, err := newGround(filepath.Join(d.w.dir, r.name+".ext4"))
		if err != nil {
			return nil, err
		}
		grounds[r] = g
	}
	defer func() {
		for r, g := range grounds {
			// Also after an interrupt, and not beneath its feet.
			if err = errors.Join(err, d.w.engine.Stop(context.WithoutCancel(ctx), r.id), g.unmount()); err == nil {
				err = d.start(ctx, r)
			}
		}
	}()
	anew := func(r *rotator) error { return errors.Join(grounds[r].renew(ctx, d, r), fill(r)) }
	return d.turns(ctx, times, archives, anew, rotators...)
}
