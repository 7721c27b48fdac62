package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// done fails unless an order was carried out, or refused with these words.
func (s *scene) done(err error, words string) {
	s.t.Helper()
	switch {
	case words == "" && err != nil:
		s.t.Errorf("refused: %v", err)
	case words != "" && (err == nil || !strings.Contains(err.Error(), words)):
		s.t.Errorf("%v, want it refused: %q", err, words)
	}
}

// did fails unless the peer and the server were asked for this, and nothing else.
func (s *scene) did(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.happened, want) {
		s.t.Errorf("%q happened, want %q", s.happened, want)
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	dead := Failover{Fenced: true}
	for _, c := range []struct {
		name    string
		change  func(*scene)
		given   Failover
		refused string
		want    []string
	}{
		{"its primary is dead", func(*scene) {}, dead, "", []string{"promotion"}},
		{"its primary is silent", func(*scene) {}, Failover{}, "may be alive all the same", nil},
		{"its primary still sends", func(s *scene) { s.server.receiving = true }, dead, "it is alive", nil},
		{"its primary runs", func(s *scene) { s.silent, s.peer = false, *seen(FirstNode, Primary, 1, true) }, dead, "use `inmanta-docker db switchover`", nil},
		{"its primary does not run", func(s *scene) { s.silent, s.peer = false, *seen(FirstNode, Primary, 1, false) }, Failover{}, "", []string{orderFence, "promotion"}},
		{"its primary is not to be fenced", func(s *scene) {
			s.silent, s.peer, s.refuses = false, *seen(FirstNode, Primary, 1, false), errors.New("no room")
		}, dead, "could not be fenced: no room", []string{orderFence}},
		{"without the note", func(s *scene) { s.agent.record.InStep = false }, dead, "has no note", nil},
		{"without the note, and somebody accepts it", func(s *scene) { s.agent.record.InStep = false }, Failover{Fenced: true, AcceptLoss: true}, "", []string{"promotion"}},
		{"its volume takes no note", (*scene).cannotNote, dead, "noting it in the volume", nil},
		{"it is a primary", func(s *scene) { s.agent.record = Record{Role: Primary} }, dead, "it is no standby that runs", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := standbyScene(t)
			c.change(s)
			s.done(s.order(orderFailover, c.given), c.refused)
			s.did(c.want...)
			if slices.Contains(s.happened, "promotion") {
				s.promotedWell()
			}
		})
	}
}

// promotedWell fails unless the note was first, and the server was promoted with
// somebody to wait for: cut short in between, it is gone on with.
func (s *scene) promotedWell() {
	s.t.Helper()
	if r := s.noted["promotion"]; r.Role != Primary || !r.Strict || r.InStep {
		s.t.Errorf("promoted with the note %+v", r)
	}
	if got, want := s.waits["promotion"], quote(names(s.agent.config.Peer)); got != want {
		s.t.Errorf("promoted with commits that wait for %s, want %s", got, want)
	}
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	given := takeOver{System: ours, Timeline: 1, End: 1000}
	for _, c := range []struct {
		name    string
		change  func(*scene, *takeOver)
		refused string
	}{
		{"with all of it", func(*scene, *takeOver) {}, ""},
		{"with less", func(_ *scene, o *takeOver) { o.End = 1001 }, "the primary ended at"},
		{"of another timeline", func(_ *scene, o *takeOver) { o.Timeline = 2 }, "the primary ended at timeline 2"},
		{"of another cluster", func(_ *scene, o *takeOver) { o.System = strangers }, "another one"},
		{"without the note", func(s *scene, _ *takeOver) { s.agent.record.InStep = false }, "it is not in step"},
		{"by a primary", func(s *scene, _ *takeOver) { s.agent.record = Record{Role: Primary} }, "no standby"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, o := standbyScene(t), given
			c.change(s, &o)
			s.done(s.order(orderTakeOver, o), c.refused)
			if c.refused != "" {
				s.did()
				return
			}
			s.did("promotion")
			s.promotedWell()
		})
	}
}

func TestEnterStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(*scene, *inStep)
		refused string
	}{
		{"it receives the log", func(*scene, *inStep) {}, ""},
		{"it receives nothing", func(s *scene, _ *inStep) { s.run.keeping.view.receiving = false }, "does not see that it receives"},
		{"it receives another timeline", func(_ *scene, o *inStep) { o.Timeline = 2 }, "does not see that it receives"},
		{"it is of another cluster", func(_ *scene, o *inStep) { o.System = strangers }, "another one"},
		{"it is a primary", func(s *scene, _ *inStep) { s.agent.record = Record{Role: Primary, System: ours} }, "no standby"},
		{"its volume takes no note", func(s *scene, _ *inStep) { s.cannotNote() }, "noting it in the volume"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := standbyScene(t)
			s.agent.record.InStep = false
			s.run.keeping.view.receiving = true
			given := inStep{System: ours, Timeline: 1}
			c.change(s, &given)
			s.done(s.order(orderInStep, given), c.refused)
			if s.agent.record.InStep != (c.refused == "") {
				t.Errorf("the note is %+v", s.agent.record)
			}
		})
	}
}

// What a fence is for is on the disk before the server is stopped, which would
// else start again.
func TestFence(t *testing.T) {
	t.Parallel()
	s := primaryScene(t)
	s.done(s.order(orderFence, nil), "")
	r, _, err := readRecord(s.agent.volume.own(""))
	if err != nil || r.Fenced == "" {
		t.Errorf("%v, %+v", err, r)
	}
	<-s.run.ended
	if !s.run.leave {
		t.Error("a fenced server would be started again")
	}
	s = primaryScene(t)
	s.cannotNote()
	s.done(s.order(orderFence, nil), "noting it in the volume")
	if s.run.leave {
		t.Error("it is stopped, and nothing says that it must not start again")
	}
}

// A handover is only noted as undone where it is certain that it was not done.
// It runs by itself: what reads the control file is one of its own.
func TestSwitchover(t *testing.T) {
	stopped := func(state string) { onPath(t, map[string]string{"pg_controldata": says(ours, state)}) }
	for _, c := range []struct {
		name     string
		change   func(*scene)
		refused  string
		handover bool
		want     []string
	}{
		{"in step", func(*scene) {}, "", true, []string{orderTakeOver}},
		{"the standby is silent", func(s *scene) { s.silent = true }, "does not answer", false, nil},
		{"the standby has no note", func(s *scene) { s.peer.InStep = false }, "is not in step", false, nil},
		{"the standby receives nothing", func(s *scene) { s.peer.State = StateCatchingUp }, "is not in step", false, nil},
		{"commits do not wait", func(s *scene) { s.run.keeping.view.replication.Sync = "async" }, "is not in step", false, nil},
		{"the server crashes", func(*scene) { stopped("in production") }, "did not stop in its own time; this node goes on", false, nil},
		{"the standby does not want to", func(s *scene) { s.refuses = refusal("it has less") }, "it has less; this node goes on", false, []string{orderTakeOver}},
		{"nobody knows whether it did", func(s *scene) { s.mute = true }, "does not say whether it took over", true, []string{orderTakeOver}},
		{"its volume takes no note", (*scene).cannotNote, "noting it in the volume", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			stopped("shut down")
			s := primaryScene(t)
			c.change(s)
			s.done(s.order(orderSwitchover, nil), c.refused)
			s.did(c.want...)
			if s.agent.record.Handover != c.handover {
				t.Errorf("the note is %+v", s.agent.record)
			}
			if len(c.want) > 0 && !s.noted[orderTakeOver].Handover {
				t.Error("the other is told before it is noted: cut short then, this one would go on as the primary")
			}
			alive := s.run.command.Process.Signal(unix.Signal(0)) == nil
			if strings.Contains(c.name, "volume") && !alive {
				t.Error("it was stopped all the same")
			}
		})
	}
}

// What the two nodes have noted is, at any time, that the standby has the note
// only if its primary thinks that it may.
func TestTheNoteIsGivenAndTakenInOrder(t *testing.T) {
	t.Parallel()
	s := primaryScene(t)
	s.agent.record.PeerInStep = false
	s.done(s.agent.step(t.Context(), s.run, tellInStep), "")
	s.did(orderInStep)
	if !s.noted[orderInStep].PeerInStep {
		t.Error("the standby is told before it is noted that it may have the note")
	}
	s = primaryScene(t)
	s.agent.record.PeerInStep = false
	s.cannotNote()
	s.done(s.agent.step(t.Context(), s.run, tellInStep), "noting it in the volume")
	s.did()

	s = primaryScene(t)
	s.done(s.agent.step(t.Context(), s.run, revokeInStep), "")
	s.did(orderOutOfStep)
	if !s.noted[orderOutOfStep].PeerInStep || s.agent.record.PeerInStep {
		t.Errorf("noted %+v before, %+v after", s.noted[orderOutOfStep], s.agent.record)
	}
	s = primaryScene(t)
	s.silent = true
	if err := s.agent.step(t.Context(), s.run, revokeInStep); err == nil || !s.agent.record.PeerInStep {
		t.Errorf("%v: of a standby that is not heard of it is noted that it gave back the note: %+v", err, s.agent.record)
	}
	s = primaryScene(t)
	s.cannotNote()
	s.agent.record.Strict = false
	if err := s.agent.step(t.Context(), s.run, becomeStrict); err == nil || s.agent.record.Strict {
		t.Errorf("%v: it says that it is strict, and would not be after a restart", err)
	}
}

// Names that somebody cleared are put back, and the standby is told that its note
// is not true any more.
func TestInsist(t *testing.T) {
	t.Parallel()
	s := primaryScene(t)
	s.done(s.agent.step(t.Context(), s.run, insist), "")
	s.did(orderOutOfStep, "ALTER SYSTEM RESET synchronous_standby_names")
	s = primaryScene(t)
	s.silent = true
	s.done(s.agent.step(t.Context(), s.run, insist), "")
	s.did("ALTER SYSTEM RESET synchronous_standby_names")
	for _, words := range []string{"somebody changed what commits wait for", "db-replica could not be told"} {
		if got := s.agent.Status().LastFailure.What; !strings.Contains(got, words) {
			t.Errorf("it says %q, not %q", got, words)
		}
	}
}

// A cluster that was run without its pair is not what its notes say.
func TestWhatRanAloneIsNotInStep(t *testing.T) {
	t.Parallel()
	s := primaryScene(t)
	s.done(s.agent.take(decision{action: startPrimary}, situation{control: controlData{System: ours}, alone: true}), "")
	if s.agent.record.Strict {
		t.Error("a primary that was run without its pair counts as strict")
	}
	s = primaryScene(t)
	s.done(s.agent.take(decision{action: startPrimary}, situation{control: controlData{System: ours}}), "")
	if !s.agent.record.Strict {
		t.Error("a primary is strict no more after a restart")
	}
	s = standbyScene(t)
	s.done(s.agent.take(decision{action: startStandby}, situation{control: controlData{System: ours}, alone: true}), "")
	if s.agent.record.InStep {
		t.Error("a standby that was run without its pair keeps its note")
	}
	s = standbyScene(t)
	s.done(s.agent.take(decision{action: startStandby}, situation{control: controlData{System: ours}}), "")
	if _, err := os.Stat(filepath.Join(s.agent.config.Data, "standby.signal")); err != nil || !s.agent.record.InStep {
		t.Errorf("%v, %+v", err, s.agent.record)
	}
}

// A standby that is to be copied anew has no note from when the copy begins.
func TestACopyBeginsWithoutTheNote(t *testing.T) {
	t.Parallel()
	s := standbyScene(t)
	s.done(s.agent.clear(), "")
	if r, _, err := readRecord(s.agent.volume.own("")); err != nil || r.InStep || r.Phase != making {
		t.Errorf("%v, %+v", err, r)
	}
	s = standbyScene(t)
	s.silent, s.peer = false, *seen(FirstNode, Primary, 1, true)
	s.agent.lose(t.Context(), s.run, "it is behind")
	if r := s.agent.record; r.InStep || !r.Reinit || !s.run.leave {
		t.Errorf("%+v", r)
	}
	// There is nobody to be copied: what it has is kept, and its note.
	s = standbyScene(t)
	s.agent.lose(t.Context(), s.run, "it is behind")
	if r := s.agent.record; !r.InStep || r.Reinit || s.run.leave {
		t.Errorf("%+v", r)
	}
}

// What is to be copied anew has somebody to be copied from, and room for it.
func TestReinit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(*scene)
		refused string
	}{
		{"its primary runs", func(*scene) {}, ""},
		{"it is the primary", func(s *scene) { s.agent.record.Role, s.agent.record.InStep = Primary, false }, "is what the other one is copied from"},
		{"its primary does not run", func(s *scene) { s.agent.other.Running = false }, "there is nothing to copy from"},
		{"the other is none", func(s *scene) { s.agent.other.Role = Standby }, "there is nothing to copy from"},
		{"the other is silent", func(s *scene) { s.agent.other = nil }, "there is nothing to copy from"},
		{"there is no room", func(s *scene) { s.agent.other.SizeBytes = 1 << 60 }, "there is no room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := standbyScene(t)
			fill(t, s.agent.config.Data, "17", versionFile)
			s.agent.other = seen(FirstNode, Primary, 1, true)
			c.change(s)
			before := s.agent.record
			s.done(s.order(orderReinit, nil), c.refused)
			r := s.agent.record
			if c.refused != "" && (r != before || s.run.leave) {
				t.Errorf("it was refused, and %+v", r)
			}
			if c.refused == "" && (!r.Reinit || r.InStep || !s.run.leave) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// What the server is seen to do, and not what it was told, decides whether its
// commits wait.
func TestAttend(t *testing.T) {
	t.Parallel()
	s := primaryScene(t)
	if _, err := s.agent.attend(t.Context(), s.run); err != nil || s.run.keeping.named != 900 {
		t.Errorf("%v: it waits from %s on", err, s.run.keeping.named)
	}
	s.server.names = ""
	if _, err := s.agent.attend(t.Context(), s.run); err != nil || s.run.keeping.named != 0 {
		t.Errorf("%v: it waits for nobody, and that counts as waiting from %s on", err, s.run.keeping.named)
	}
	s.did()
	if _, err := s.agent.attend(t.Context(), s.run); err != nil {
		t.Error(err)
	}
	s.did(orderOutOfStep, "ALTER SYSTEM RESET synchronous_standby_names")
	// A server that is a standby where a primary is to be is left, whatever it says.
	s = primaryScene(t)
	s.server.recovering = true
	if _, err := s.agent.attend(t.Context(), s.run); err == nil || !s.run.leave {
		t.Errorf("%v: it goes on as a primary that it is not", err)
	}
}

// What a process that ended left half-way is finished, or thrown away, by the next.
func TestWhatWasCutShortIsFinished(t *testing.T) {
	t.Parallel()
	left := func(p phase) *agent {
		s := standbyScene(t)
		v := s.agent.volume
		fill(t, string(v), "old", versionFile, "base/1/2", "global/pg_control")
		fill(t, v.staging(), "new", versionFile, "base/1/2", "global/pg_control")
		if err := errors.Join(os.Mkdir(v.previous(), 0o700), s.agent.enter(p)); err != nil {
			t.Fatal(err)
		}
		// The lock goes with the process.
		if err := os.Remove(v.own(lockFile)); err != nil {
			t.Fatal(err)
		}
		next := &agent{config: s.agent.config, volume: v, log: s.agent.log}
		if err := next.takeVolume(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(v.staging()); err == nil || next.record.Phase != settled {
			t.Errorf("%s: something is left: %q", p, next.record.Phase)
		}
		return next
	}
	if content, is := whole(t, string(left(making).volume)); !is || content != "old" {
		t.Errorf("what was only being made is used: %q", content)
	}
	if content, is := whole(t, string(left(settingAside).volume)); !is || content != "new" {
		t.Errorf("what was complete is not used: %q", content)
	}
}
