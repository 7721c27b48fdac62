// Command inmanta-docker deploys and runs the Inmanta orchestrator with Docker
// Compose. The first interrupt lets the running verb end cleanly, the second
// ends the process at once; both give exit code 130.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/inmanta/inmanta-docker/command"
)

// version is stamped by the linker: see the Makefile.
var version = "dev"

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(command.ExitInterrupted)
	}()
	streams := command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(command.Run(ctx, streams, os.Args[1:], version))
}
