package preflight

import (
	"io/fs"
	"net/netip"
	"strconv"
	"time"

	"github.com/inmanta/inmanta-docker/deployment"
)

// Facts are what the checks need to know about the host, its files and the
// container engine. Plain data: Gather fills it in, Check judges it. Where
// something could not be learnt the zero value stands, and nothing is held
// against anybody for it.
type Facts struct {
	// Now is when they were gathered.
	Now time.Time
	// Answered says that an engine answered; without it only the facts about
	// files are there.
	Answered bool
	// Local says that the engine runs on this machine: only then are its ports,
	// addresses and disk those seen from here.
	Local bool
	// Version is the engine's own, "20.10.24"; APIVersion that of its API, "1.41".
	Version, APIVersion string
	// Platform is what it runs: "linux/amd64".
	Platform string
	// Memory is the engine's machine's, in bytes; 0 where unknown.
	Memory int64
	// Disk is the file system with the engine's data.
	Disk Disk

	// Images are those of the project, by reference as the project has it.
	Images map[string]Image
	// Containers are all on the engine, whoever made them.
	Containers []Container
	// Volumes are those of the project that exist, by their name on the engine.
	Volumes map[string]Volume
	// Majors are the major versions of PostgreSQL whose data is on a volume, by
	// the volume's name on the engine; none where there is no data or nobody could look.
	Majors map[string]int
	// Pair is what the two databases of a pair have noted in their volumes, by
	// service, where the topology has one database alone and there have been two.
	Pair map[string]PairRecord
	// Sockets are what stands in the way of the project's published ports, by
	// endpoint; no entry where nothing does.
	Sockets map[Endpoint]Socket

	// Licences are the licence files that the project mounts, by path on this host.
	Licences map[string]LicenceFile
	// KeyFiles are the files of authorized keys on this host that the ssh sidecar
	// is given; nil where nobody could look.
	KeyFiles []GivenFile
	// RotationFiles are the files on this host with which the logrotate sidecar is
	// configured: one at most; nil where nobody could look.
	RotationFiles []GivenFile
	// DumpFolderIrregular and ArchiveFolderIrregular say that something else is where
	// the folder of the database's dumps belongs, or that of its archive.
	DumpFolderIrregular, ArchiveFolderIrregular bool
	// Certificates are those of one of two databases on two machines; nil for other
	// topologies, and where nobody could look.
	Certificates *PairFiles
	// Sidecar is the sidecars' binary; nil where no service mounts it.
	Sidecar *deployment.Sidecar
	// Absent are sources of bind mounts that must exist and do not.
	Absent []string
	// EnvModes are the permissions of the environment files, by path.
	EnvModes map[string]fs.FileMode
}

// Disk is one file system.
type Disk struct {
	// Dir is a directory on it; empty where nothing is known about it.
	Dir string
	// Free is what an ordinary user may still write, in bytes.
	Free uint64
}

// Image is one image that the project uses.
type Image struct {
	// Present says that the engine has it.
	Present bool
	// Platforms are what it is made for ("linux/amd64"): the one the engine has,
	// or all that the registry offers; none where unknown.
	Platforms []string
	// Env are the variables that it sets.
	Env map[string]string
	// Registry is how its registry answered, where the engine lacks it.
	Registry Answer
	// Trouble is what the registry or the network said, in a line.
	Trouble string
}

// Answer is how a registry answers for an image.
type Answer string

// The answers. Unasked is that of an image that the engine has.
const (
	Unasked Answer = ""
	// Offered: it can be pulled.
	Offered Answer = "offered"
	// Denied: not with the credentials that this user has stored, if any.
	Denied Answer = "denied"
	// NoSuchImage: the registry knows no such name or tag.
	NoSuchImage Answer = "no such image"
	// Unreachable: no answer.
	Unreachable Answer = "unreachable"
)

// Container is one container on the engine.
type Container struct {
	// ID is the engine's; Name is without the leading slash.
	ID, Name string
	// Project, Service and Dir are Compose's labels: the project's name, the
	// service's, and the directory it was started from. Empty for a container
	// that Compose did not make.
	Project, Service, Dir string
	// Elsewhere says that Dir exists and is not this deployment's directory.
	Elsewhere bool
	// OneOff says that `compose run` made it.
	OneOff bool
	// Look says that it was made to look into a volume, and may go.
	Look bool
	// Running says that it runs, and so holds its ports.
	Running bool
	// Restarting says that it ended and the engine is about to start it again,
	// so that it holds its ports now and then.
	Restarting bool
	// Published are the host's endpoints that it holds.
	Published []Endpoint
	// Mounts are the paths at which it has volumes, by the volume's name.
	Mounts map[string]string
}

// Volume is one volume on the engine.
type Volume struct {
	// Project is the Compose project that made it; empty if none did.
	Project string
	// Hash is Compose's digest of the options it was made with; empty for one
	// that Compose did not make.
	Hash string
}

// Socket is what stands in the way of binding an endpoint.
type Socket struct {
	// NotHere says that its address is not one of this host's.
	NotHere bool
	// PID and Command are the process that holds it; 0 and "" where this user
	// may not see that.
	PID     int
	Command string
}

// Endpoint is one place on the host at which something can listen.
type Endpoint struct {
	// IP may be 0.0.0.0 or ::, which stand for every address of their family.
	IP       netip.Addr
	Port     uint16
	Protocol string
}

// String is how a person writes it: "127.0.0.1:8888", "[::]:53/udp".
func (e Endpoint) String() string {
	s := netip.AddrPortFrom(e.IP, e.Port).String()
	if e.Protocol != tcp {
		s += "/" + e.Protocol
	}
	return s
}

// clashes says that not both endpoints can be had at once.
func (e Endpoint) clashes(other Endpoint) bool {
	if e.Port != other.Port || e.Protocol != other.Protocol || e.IP.Is4() != other.IP.Is4() {
		return false
	}
	return e.IP == other.IP || e.IP.IsUnspecified() || other.IP.IsUnspecified()
}

// LicenceFile is what lies at the place of a licence file.
type LicenceFile struct {
	// Missing says that nothing is there.
	Missing bool
	// Irregular says that it is a directory, a device or a link that leads
	// nowhere inside the mount.
	Irregular bool
	// Size is in bytes.
	Size int64
	// Barred says that the orchestrator's user cannot read it.
	Barred bool
	// Form is what its content looks like.
	Form Form
	// Digest tells contents apart; empty where they could not be read.
	Digest string
}

// Protocols, as compose files and the engine name them.
const (
	tcp = "tcp"
	udp = "udp"
)

// humanSize is a number of bytes for people: "1.5 GiB".
func humanSize(bytes uint64) string {
	const mib = 1 << 20
	if bytes < 1<<30 {
		return strconv.FormatUint(bytes/mib, 10) + " MiB"
	}
	return strconv.FormatFloat(float64(bytes/mib)/1024, 'f', 1, 64) + " GiB"
}
