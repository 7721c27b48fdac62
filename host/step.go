package host

import "fmt"

// step is one thing to do on the way to an engine that answers.
type step interface {
	words() words
}

// words are how a step is told to a person.
type words struct {
	// subject is what the step is about; doing and done what becomes of it.
	subject, doing, done string
	// why is the reason, where it is not plain.
	why string
}

// packageName is Debian's and Ubuntu's own package of the Docker Engine.
const packageName = "docker.io"

type (
	// updateLists fetches apt's package lists.
	updateLists struct{}
	// installEngine installs packageName.
	installEngine struct{}
	// removeFile removes a file that is shown to be stale.
	removeFile struct{ path, why string }
	// stopOrphan stops a containerd whose dockerd is gone.
	stopOrphan struct{ process process }
	// startUnit starts the engine where systemd runs the machine.
	startUnit struct{}
	// startDaemon starts a detached dockerd.
	startDaemon struct{ program string }
	// awaitDaemon waits for a dockerd that lives and does not answer yet.
	awaitDaemon struct{ process process }
)

func (updateLists) words() words {
	return words{"package lists", "Fetching", "Fetched", ""}
}

func (installEngine) words() words {
	return words{"package " + packageName, "Installing", "Installed", ""}
}

func (s removeFile) words() words {
	return words{s.path, "Removing", "Removed", s.why}
}

func (s stopOrphan) words() words {
	return words{fmt.Sprintf("process %d (%s)", s.process.pid, s.process.name), "Stopping", "Stopped",
		"the dockerd it belonged to is gone, and a new one cannot use it; containers keep running"}
}

func (startUnit) words() words {
	return words{"docker.service", "Starting", "Started", ""}
}

func (s startDaemon) words() words {
	return words{"dockerd", "Starting", "Started", ""}
}

func (s awaitDaemon) words() words {
	return words{"dockerd", "Waiting", "Answers", fmt.Sprintf("%s runs and does not answer yet", s.process)}
}
