package preflight

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// PairRecord is what a database of a pair has noted in its volume.
type PairRecord struct {
	// Role is primary or standby.
	Role string `json:"role"`
	// Since is when that, or what it knows of the other one, changed last.
	Since time.Time `json:"since"`
	// Phase is what was being done to its files; Handover that it was handing
	// over; Fenced why it must not be the primary any more.
	Phase    string `json:"phase"`
	Handover bool   `json:"handover"`
	Fenced   string `json:"fenced"`
}

// recordFile is where it is in the volume.
const recordFile = "pgsql_tmp.inmanta-docker/node.json"

// leftByPair are the volumes of two databases, by service, for a topology that has
// the first one alone, without the agent; none for others.
func leftByPair(project *types.Project) map[string]string {
	service, ok := project.Services[topology.Database]
	if _, both := project.Services[topology.Replica]; !ok || both || runsAgent(service) {
		return nil
	}
	for _, v := range databaseVolumes(project) {
		if v.Service == topology.Database {
			// The name that Compose gives it, as it is in no file of the topology.
			return map[string]string{topology.Database: v.Name, topology.Replica: project.Name + "_inmanta-db-replica-data"}
		}
	}
	return nil
}

// runsAgent says whether a service is one database of a pair.
func runsAgent(s types.ServiceConfig) bool {
	return len(s.Entrypoint) == 2 && path.Base(s.Entrypoint[0]) == deployment.SidecarFile && s.Entrypoint[1] == "postgres"
}

// record learns what a database has noted in its volume.
func (g *gathering) record(ctx context.Context, reader volumeReader, service, volume string) error {
	err := reader.open(ctx, volume, recordFile, func(archive io.Reader) error {
		found, err := recordIn(archive)
		if err == nil {
			g.learn(func(f *Facts) {
				if f.Pair == nil {
					f.Pair = map[string]PairRecord{}
				}
				f.Pair[service] = found
			})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("looking at what the database in volume %s has noted: %w", volume, err)
	}
	return nil
}

// recordIn reads the one file of a tar archive.
func recordIn(archive io.Reader) (PairRecord, error) {
	const enough = 64 << 10
	files := tar.NewReader(archive)
	if _, err := files.Next(); err != nil {
		return PairRecord{}, err
	}
	content, err := io.ReadAll(io.LimitReader(files, enough))
	if err != nil {
		return PairRecord{}, err
	}
	var r PairRecord
	return r, json.Unmarshal(content, &r)
}

// parted refuses a topology with one database whose pair has the other one as its
// primary: the data would be older than what was acknowledged.
func (r *report) parted() {
	one, known := r.facts.Pair[topology.Database]
	if !known {
		return
	}
	other := r.facts.Pair[topology.Replica]
	var why string
	switch {
	case one.Phase != "":
		why = "it is only being made, as a copy of " + topology.Replica
	case one.Role != "primary":
		why = fmt.Sprintf("it is the standby of %s, which is the primary", topology.Replica)
	case one.Handover || one.Fenced != "" || other.Role == "primary" && other.Since.After(one.Since):
		why = topology.Replica + " has taken over from it"
	default:
		return
	}
	r.refuse(problem.Problem{
		ID: "pair-parted", Where: "the service " + topology.Database,
		What: fmt.Sprintf("this topology has it alone, and %s: its data is not the deployment's", why),
		Fix: fmt.Sprintf("have it become the primary first, with %s still in the topology: inmanta-docker db switchover (db status says how both are)",
			deployment.OverlayFile(topology.Replica)),
	})
}

// degrading warns of commits that do not wait.
func (r *report) degrading() {
	for _, name := range []string{topology.Database, topology.Replica} {
		service, ok := r.stack.Project.Services[name]
		if mode := service.Environment["INMANTA_PAIR_WHEN_ALONE"]; !ok || !runsAgent(service) || mode == nil || *mode != settings.Degrade {
			continue
		}
		where, _ := r.place("services."+name+".environment.INMANTA_PAIR_WHEN_ALONE", settings.Degrade)
		r.warn(problem.Problem{
			ID: "degrade", Where: where,
			What: "commits do not wait for a database that is away: WHAT IS ACKNOWLEDGED THEN IS LOST with the one that is left, and no failover is safe",
			Fix:  fmt.Sprintf("set %s=wait, unless that is meant", settings.DatabaseWhenAlone),
		})
		return // it is one setting for both
	}
}
