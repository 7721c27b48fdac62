package image_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/image"
	"github.com/inmanta/inmanta-docker/progress"
)

// engine is the real one; a test without it fails.
func engine(t testing.TB) *client.Client {
	t.Helper()
	cli, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close() })
	if _, err := cli.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Fatalf("these tests need a container engine (`make engine` starts one): %v", err)
	}
	return cli
}

func TestBuild(t *testing.T) {
	o, _ := image.Orchestrator("")
	start := time.Now()
	var mu sync.Mutex
	err := image.Build(context.Background(), engine(t), []image.Recipe{o, image.PostgreSQL()}, image.BuildOptions{}, func(e progress.Event) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%6.1f %s %s %s %s\n", time.Since(start).Seconds(), e.ID, e.Status, e.Text, e.Detail)
	})
	fmt.Println(time.Since(start), err)
	if err != nil {
		t.Fatal(err)
	}
}
