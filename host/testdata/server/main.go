// Command server is what runs in a container of the tests: it answers every
// connection on port 80 with one line.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", ":80")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			continue
		}
		_, _ = fmt.Fprintln(connection, "here")
		_ = connection.Close()
	}
}
