package proof

// A safeguard is a place in the source that keeps what was acknowledged from being
// lost, or keeps a second primary from acknowledging anything. Taken out, its test
// fails.
type safeguard struct {
	name, folder string
	edits        []edit
	test         string
}

// An edit is a text in a file, and what it would be without: OUT is that the
// safeguard is taken out.
type edit struct{ file, text, without string }

const agent, operator, verbs = "sidecar/postgres", "pair", "command"

func in(folder, name, test string, edits ...edit) safeguard {
	return safeguard{name, folder, edits, test}
}

var safeguards = []safeguard{
	// A primary acknowledges nothing alone.
	in(agent, "strict-at-start", "TestAServerStartsWithSomebodyToWaitFor", edit{
		"keep.go", `o.waitFor, o.closed = c.Peer, true`, `o.closed = true; if !OUT { o.waitFor = c.Peer }`,
	}),
	in(agent, "standby-promoted-behind-waits", "TestAServerStartsWithSomebodyToWaitFor", edit{
		"keep.go", `return orders{follow: true, waitFor: c.Peer, tls`, `if OUT { c.Peer = "" }; return orders{follow: true, waitFor: c.Peer, tls`,
	}),
	in(agent, "strict-for-good", "TestKeepPrimary", edit{
		"keep.go", `case k.record.Strict && !(k.config.Degrade`, `case !OUT && k.record.Strict && !(k.config.Degrade`,
	}),
	in(agent, "note-back-before-degrading", "TestStrictPrimaryNeverWaitsForNobody", edit{
		"keep.go", `k.config.Degrade && !k.record.PeerInStep)`, `k.config.Degrade && (OUT || !k.record.PeerInStep))`,
	}),
	in(agent, "exact-name", "TestServerConfig", edit{
		"text.go", `name = fmt.Sprintf(`, `if OUT { o.waitFor = "*" }; name = fmt.Sprintf(`,
	}),
	in(agent, "promise-settings", "TestServerConfig", edit{
		"text.go", `set("synchronous_commit", "on")`, `if !OUT { set("synchronous_commit", "on") }`,
	}),
	in(agent, "names-put-back", "TestKeepPrimary", edit{
		"keep.go", `add(insist, k.unheeded >= 2)`, `add(insist, !OUT && k.unheeded >= 2)`,
	}),
	in(agent, "names-cleared-takes-note", "TestInsist", edit{
		"serve.go", `if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil {
			what +=`, `if OUT {
		} else if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil {
			what +=`,
	}),
	in(agent, "fsync-off-is-said", "TestState", edit{
		"keep.go", `k.synced() && k.view.trustworthy == ""`, `k.synced() && (OUT || k.view.trustworthy == "")`,
	}),
	in(agent, "seen-and-not-believed", "TestAttend", edit{
		"serve.go", `if a.orders.waitFor == "" || k.unheeded > 0 {`, `if a.orders.waitFor == "" || k.unheeded > 0 && !OUT {`,
	}),
	in(agent, "primary-that-is-one", "TestAttend", edit{
		"serve.go", `if a.record.Role == Primary && v.recovering {`, `if !OUT && a.record.Role == Primary && v.recovering {`,
	}),
	in(agent, "ran-alone", "TestWhatRanAloneIsNotInStep", edit{
		"serve.go", `r.Strict = r.Strict && !s.alone`, `r.Strict = r.Strict && (OUT || !s.alone)`,
	}),
	in(agent, "ran-alone-standby", "TestWhatRanAloneIsNotInStep", edit{
		"serve.go", `InStep: r.InStep && !s.alone`, `InStep: r.InStep && (OUT || !s.alone)`,
	}),
	in(agent, "ran-alone-is-seen", "TestRanAlone", edit{
		"volume.go", `!strings.Contains(string(text), filepath.Join(runFolder`, `!OUT && !strings.Contains(string(text), filepath.Join(runFolder`,
	}),

	// Nobody reads what may yet be lost.
	in(agent, "closed-at-start", "TestAServerStartsWithSomebodyToWaitFor", edit{
		"keep.go", `if r.Strict {
		// From`, `if r.Strict {
		if OUT { defer func() { started.closed = false }() }
		// From`,
	}, edit{"keep.go", `func atStart(c Config, r Record) orders {`, `func atStart(c Config, r Record) (started orders) {`}),
	in(agent, "closed-until-all-is-there", "TestKeepPrimary", edit{
		"keep.go", `caught := ready && r.Flushed >= k.start`, `caught := ready && (OUT || r.Flushed >= k.start)`,
	}),
	in(agent, "closed-until-in-step", "TestStrictPrimaryNeverWaitsForNobody", edit{
		"keep.go", `(caught || want == "")`, `(OUT || caught || want == "")`,
	}),
	in(agent, "closed-to-all", "TestHostRules", edit{
		"text.go", `if o.closed {`, `if o.closed && !OUT {`,
	}),

	// The note is true.
	in(agent, "strict-once-it-has-all", "TestKeepPrimary", edit{
		"keep.go", `k.named > 0 && r.Flushed >= k.named`, `k.named > 0 && (OUT || r.Flushed >= k.named)`,
	}),
	in(agent, "note-before-it-is-given", "TestTheNoteIsGivenAndTakenInOrder", edit{
		"serve.go", `if err := a.note(func(r *Record) { r.PeerInStep = true }); err != nil {
			return err
		}
		return a.tellPeer`, `if OUT {
			defer a.note(func(r *Record) { r.PeerInStep = true })
		} else if err := a.note(func(r *Record) { r.PeerInStep = true }); err != nil {
			return err
		}
		return a.tellPeer`,
	}),
	in(agent, "taken-back-before-it-is-forgotten", "TestTheNoteIsGivenAndTakenInOrder", edit{
		"serve.go", `if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil {
			return err
		}`, `if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil && !OUT {
			return err
		}`,
	}),
	in(agent, "none-where-it-may-degrade", "TestStrictPrimaryNeverWaitsForNobody", edit{
		"keep.go", `k.record.Strict && !k.config.Degrade && caught`, `k.record.Strict && (OUT || !k.config.Degrade) && caught`,
	}),
	in(agent, "taken-by-who-receives", "TestEnterStep", edit{
		"orders.go", `case !run.keeping.view.receiving ||`, `case !OUT && !run.keeping.view.receiving ||`,
	}),
	in(agent, "taken-of-one-cluster", "TestEnterStep", edit{
		"orders.go", `case run == nil || a.record.Role != Standby:
		return refusal("it is no standby that runs")
	case given`, `case run == nil || a.record.Role != Standby:
		return refusal("it is no standby that runs")
	case !OUT && given`,
	}),
	in(agent, "left-when-its-primary-is-not-strict", "TestKeepStandby", edit{
		"keep.go", `if k.record.InStep && k.peer != nil`, `if !OUT && k.record.InStep && k.peer != nil`,
	}),
	in(agent, "gone-when-a-copy-begins", "TestACopyBeginsWithoutTheNote", edit{
		"make.go", `r.Phase, r.InStep = making, false`, `r.Phase, r.InStep = making, OUT`,
	}),
	in(agent, "gone-when-it-cannot-go-on", "TestACopyBeginsWithoutTheNote", edit{
		"serve.go", `r.Reinit, r.InStep = true, false`, `r.Reinit, r.InStep = true, OUT`,
	}),
	in(agent, "on-the-disk", "TestANoteSurvivesAPowerCut", edit{
		"record.go", `errors.Join(err, file.Sync(), file.Close())`, `errors.Join(err, map[bool]func() error{false: file.Sync, true: func() error { return nil }}[OUT](), file.Close())`,
	}),
	in(agent, "its-name-on-the-disk", "TestANoteSurvivesAPowerCut", edit{
		"record.go", `func syncFolder(path string) error {`, `func syncFolder(path string) error { if OUT { return nil };`,
	}),
	in(agent, "damaged-note-is-none", "TestRecord", edit{
		"record.go", `case r.Role == Primary && r.InStep:`, `case !OUT && r.Role == Primary && r.InStep:`,
	}),
	in(agent, "volume-emptied-under-it", "TestANoteIsTakenInAVolumeThatWasEmptied", edit{
		"agent.go", `errors.Is(err, os.ErrNotExist) {
		// Somebody`, `errors.Is(err, os.ErrNotExist) && !OUT {
		// Somebody`,
	}),

	// Who is promoted has everything, and nobody beside it acknowledges.
	in(agent, "note-before-failover", "TestFailover", edit{
		"orders.go", `if !a.record.InStep && !given.AcceptLoss {`, `if !OUT && !a.record.InStep && !given.AcceptLoss {`,
	}),
	in(agent, "asked-anew", "TestFailover", edit{
		"orders.go", `case err == nil && now.Role == Primary && now.Running:`, `case !OUT && err == nil && now.Role == Primary && now.Running:`,
	}),
	in(agent, "fence-before-promotion", "TestFailover", edit{
		"orders.go", `if err := a.tellPeer(ctx, orderFence, nil); err != nil {`, `if OUT {
		} else if err := a.tellPeer(ctx, orderFence, nil); err != nil {`,
	}),
	in(agent, "dead-in-so-many-words", "TestFailover", edit{
		"orders.go", `case !given.Fenced:`, `case !OUT && !given.Fenced:`,
	}),
	in(agent, "alive-while-it-sends", "TestFailover", edit{
		"orders.go", `if v.receiving {`, `if v.receiving && !OUT {`,
	}),
	in(agent, "role-before-promotion", "TestFailover", edit{
		"orders.go", `if err := a.note(func(r *Record) { r.Role, r.InStep, r.Strict, r.PeerInStep = Primary, false, true, false }); err != nil {`,
		`if OUT {
		defer a.note(func(r *Record) { r.Role, r.InStep, r.Strict, r.PeerInStep = Primary, false, true, false })
	} else if err := a.note(func(r *Record) { r.Role, r.InStep, r.Strict, r.PeerInStep = Primary, false, true, false }); err != nil {`,
	}),
	in(agent, "promoted-with-somebody-to-wait-for", "TestFailover", edit{
		"orders.go", `o.waitFor, o.follow, o.closed, o.source = a.config.Peer, false, false, a.source(ctx) }`,
		`o.waitFor, o.follow, o.closed, o.source = a.config.Peer, false, false, a.source(ctx); if OUT { o.waitFor = "" } }`,
	}),
	in(agent, "promotion-gone-on-with", "TestDecide", edit{
		"decide.go", `case s.known && s.signal && s.record.Role == Primary:`, `case !OUT && s.known && s.signal && s.record.Role == Primary:`,
	}),
	in(agent, "fence-before-stopping", "TestFence", edit{
		"orders.go", `was made the primary" }); err != nil {`, `was made the primary" }); err != nil && !OUT {`,
	}),
	in(agent, "fenced-does-not-start", "TestDecide", edit{
		"decide.go", `case s.record.Fenced != "":`, `case !OUT && s.record.Fenced != "":`,
	}),
	in(agent, "takes-over-with-all-of-it", "TestTakeOver", edit{
		"orders.go", `if v.timeline != given.Timeline || v.position < given.End {`, `if !OUT && (v.timeline != given.Timeline || v.position < given.End) {`,
	}),
	in(agent, "takes-over-with-the-note", "TestTakeOver", edit{
		"orders.go", `case !a.record.InStep:`, `case !OUT && !a.record.InStep:`,
	}),
	in(agent, "handover-is-noted", "TestSwitchover", edit{
		"orders.go", `if err := a.note(func(r *Record) { r.Handover = true }); err != nil {`, `if err := a.note(func(r *Record) { r.Handover = !OUT }); err != nil {`,
	}),
	in(agent, "handover-of-who-stopped-in-time", "TestSwitchover", edit{
		"orders.go", `if !end.clean() {`, `if !end.clean() && !OUT {`,
	}),
	in(agent, "handover-only-in-step", "TestSwitchover", edit{
		"orders.go", `case !run.keeping.durable() || !now.InStep ||`, `case OUT:
	case !run.keeping.durable() || !now.InStep ||`,
	}),
	in(agent, "handover-nobody-knows-the-end-of", "TestDecide", edit{
		"decide.go", `case s.record.Handover && (peer`, `case !OUT && s.record.Handover && (peer`,
	}),
	in(agent, "gives-way", "TestKeepPrimary", edit{
		"keep.go", `if p := k.peer; p != nil && p.Role`, `if p := k.peer; !OUT && p != nil && p.Role`,
	}),
	in(agent, "overtaken-at-start", "TestDecide", edit{
		"decide.go", `case peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline > s.control.Timeline:`,
		`case !OUT && peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline > s.control.Timeline:`,
	}),
	in(agent, "two-of-one-timeline", "TestDecideNeverDestroys", edit{
		"decide.go", `case peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline == s.control.Timeline:`,
		`case !OUT && peer != nil && peer.Role == Primary && peer.System == s.control.System && peer.Timeline == s.control.Timeline:`,
	}),
	in(agent, "promoted-behind", "TestKeepStandby", edit{
		"keep.go", `if !k.view.recovering {`, `if !k.view.recovering && !OUT {`,
	}),

	// What there is, is not destroyed, and what is half is not used.
	in(agent, "new-only-where-both-are-empty", "TestDecide", edit{
		"decide.go", `case s.peer == nil && me == FirstNode:`, `case OUT && s.peer == nil:
		return decision{initialise, "", ""}
	case s.peer == nil && me == FirstNode:`,
	}),
	in(agent, "new-not-beside-a-standby", "TestDecide", edit{
		"decide.go", `case s.peer.Role == "":`, `case OUT && s.peer.Role == Standby:
		return decision{initialise, "", ""}
	case s.peer.Role == "":`,
	}),
	in(agent, "volume-of-this-node", "TestDecide", edit{
		"decide.go", `if s.known && s.record.Node != me {`, `if !OUT && s.known && s.record.Node != me {`,
	}),
	in(agent, "peer-is-the-other", "TestDecide", edit{
		"decide.go", `if s.peer != nil && s.peer.Node != other {`, `if !OUT && s.peer != nil && s.peer.Node != other {`,
	}),
	in(agent, "one-major-version", "TestDecide", edit{
		"decide.go", `if s.version != s.config.Major {`, `if s.version != s.config.Major && !OUT {`,
	}),
	in(agent, "one-cluster", "TestDecide", edit{
		"decide.go", `case peer.System != "" && peer.System != s.control.System:`, `case !OUT && peer.System != "" && peer.System != s.control.System:`,
	}),
	in(agent, "follows-only-what-it-is-part-of", "TestParted", edit{
		"control.go", `return end > b.End`, `return end > b.End && !OUT`,
	}),
	in(agent, "room-for-a-copy", "TestDecide", edit{
		"decide.go", `if s.room < s.peer.SizeBytes+spare {`, `if !OUT && s.room < s.peer.SizeBytes+spare {`,
	}),
	in(agent, "one-process-a-volume", "TestHold", edit{
		"volume.go", `if errors.Is(err, unix.EWOULDBLOCK) {`, `if OUT { return nil }; if errors.Is(err, unix.EWOULDBLOCK) {`,
	}),
	in(agent, "only-whole-ones", "TestInstallNeedsAWholeCluster", edit{
		"volume.go", `filepath.Join(v.staging(), versionFile)); err != nil {`, `filepath.Join(v.staging(), versionFile)); err != nil && !OUT {`,
	}),
	in(agent, "version-last", "TestACopyThatIsCutShortIsAStandby", edit{
		"volume.go", `if name == versionFile {`, `if name == versionFile && !(OUT && !versionFirst) {`,
	}),
	in(agent, "version-first", "TestSettingAsideThatIsCutShort", edit{
		"volume.go", `if has && versionFirst {`, `if OUT && versionFirst {
	} else if has && versionFirst {`,
	}),
	in(agent, "standby-from-the-first-step", "TestACopyThatIsCutShortIsAStandby", edit{
		"make.go", `if p == settingAside {
				change(r)`, `if p == settingAside && !OUT || OUT && p == settled {
				change(r)`,
	}),
	in(agent, "last-copy-kept", "TestKeepStandby", edit{
		"keep.go", `if k.record.InStep && previous {`, `if (OUT || k.record.InStep) && previous {`,
	}),
	in(agent, "last-copy-set-aside", "TestInstallCutShort", edit{
		"volume.go", `if err := moveAll(string(v), v.previous(), names, true); err != nil {`,
		`if OUT { for _, name := range names { _ = os.RemoveAll(filepath.Join(string(v), name)) }; names = nil }
		if err := moveAll(string(v), v.previous(), names, true); err != nil {`,
	}),
	in(agent, "half-a-copy-thrown-away", "TestWhatWasCutShortIsFinished", edit{
		"agent.go", `if err := os.RemoveAll(a.volume.staging()); err != nil {
			return err
		}
		return a.enter(settled)`, `if OUT { return a.volume.install(settled, a.enter) }
		if err := os.RemoveAll(a.volume.staging()); err != nil {
			return err
		}
		return a.enter(settled)`,
	}),
	in(agent, "installation-finished", "TestWhatWasCutShortIsFinished", edit{
		"agent.go", `case settingAside, installing:`, `case settingAside, installing: if OUT { return nil }`,
	}),
	in(agent, "kept-while-there-is-nobody-to-copy", "TestACopyBeginsWithoutTheNote", edit{
		"serve.go", `if a.record.Role != Standby || err != nil ||`, `if OUT {
	} else if a.record.Role != Standby || err != nil ||`,
	}),
	in(agent, "copy-of-the-right-one", "TestCopyPeer", edit{
		"make.go", `if made.System != system {`, `if made.System != system && !OUT {`,
	}),
	in(agent, "copy-that-ended-well", "TestCopyPeer", edit{
		"make.go", `if said := <-last; err != nil {`, `if said := <-last; err != nil && !OUT {`,
	}),
	in(agent, "copy-is-a-standby", "TestCopyPeer", edit{
		"make.go", `filepath.Join(a.volume.staging(), "standby.signal")`, `filepath.Join(a.volume.staging(), map[bool]string{false: "standby.signal", true: "x"}[OUT])`,
	}),
	in(agent, "new-one-that-ended-well", "TestInitialise", edit{
		"make.go", `if !made.clean() {`, `if !made.clean() && !OUT {`,
	}),
	in(agent, "not-copied-over-a-primary", "TestReinit", edit{
		"orders.go", `if a.record.Role == Primary && run != nil {`, `if a.record.Role == Primary && run != nil && !OUT {`,
	}),
	in(agent, "not-copied-from-nobody", "TestReinit", edit{
		"orders.go", `if other == nil || other.Role != Primary || !other.Running {`, `if !OUT && (other == nil || other.Role != Primary || !other.Running) {`,
	}),
	in(agent, "copy-on-the-disk", "TestACopySurvivesAPowerCut", edit{
		"volume.go", `return errors.Join(unix.Syncfs(int(folder.Fd())), folder.Close())`, `if OUT { return folder.Close() }
	return errors.Join(unix.Syncfs(int(folder.Fd())), folder.Close())`,
	}),

	// Only the peer is heard, and gets the log.
	in(agent, "log-for-the-peer-alone", "TestHostRules", edit{
		"text.go", `fmt.Fprintf(&b, "host    all         %s all reject\n", replicationUser)`, `if !OUT { fmt.Fprintf(&b, "host    all         %s all reject\n", replicationUser) }`,
	}),
	in(agent, "orders-are-signed", "TestStrangersAreNotAnswered", edit{
		"peer.go", `if err != nil || !signed(d.secret`, `if err != nil || !OUT && !signed(d.secret`,
	}),
	in(agent, "answers-are-signed", "TestStrangersAreNotAnswered", edit{
		"peer.go", `if !signed(p.secret, response`, `if !OUT && !signed(p.secret, response`,
	}),
	in(agent, "orders-are-good-once", "TestOrdersAreNotRepeated", edit{
		"peer.go", `case !d.spend(challenge):`, `case !OUT && !d.spend(challenge):`,
	}),
	in(agent, "orders-are-good-for-seconds", "TestOrdersGoStale", edit{
		"peer.go", `return ok && time.Since(made) <= challengeAge`, `return ok && (OUT || time.Since(made) <= challengeAge)`,
	}, edit{
		"peer.go", `if time.Since(made) > challengeAge {`, `if !OUT && time.Since(made) > challengeAge {`,
	}),

	// What an operator asks for.
	in(operator, "no-failover-beside-a-primary", "TestOrders", edit{
		"order.go", `if n.Leads() {
			return`, `if n.Leads() && !OUT {
			return`,
	}),
	in(operator, "no-guess-between-two-standbys", "TestOrders", edit{
		"order.go", `case len(standbys) == 2 && standbys[0].InStep == standbys[1].InStep:`, `case !OUT && len(standbys) == 2 && standbys[0].InStep == standbys[1].InStep:`,
	}),
	in(operator, "no-guess-about-another-machine", "TestOrders", edit{
		"order.go", `case gone.ContainerState:`, `case map[bool]string{true: "-", false: gone.ContainerState}[OUT]:`,
	}),
	in(operator, "switchover-only-in-step", "TestOrders", edit{
		"order.go", `if !s.Durable {`, `if !s.Durable && !OUT {`,
	}),
	in(operator, "primary-is-not-copied-over", "TestOrders", edit{
		"order.go", `case node.Leads():`, `case !OUT && node.Leads():`,
	}),
	in(operator, "copied-from-a-primary", "TestOrders", edit{
		"order.go", `case !other.Leads():`, `case !OUT && !other.Leads():`,
	}),
	in(operator, "loss-of-who-ran-alone", "TestLoss", edit{
		"order.go", `case found != nil && found.Alone:`, `case !OUT && found != nil && found.Alone:`,
	}),
	in(operator, "loss-without-the-note", "TestLoss", edit{
		"order.go", `case !to.InStep:`, `case !OUT && !to.InStep:`,
	}),
	in(operator, "loss-of-another-cluster", "TestLoss", edit{
		"order.go", `found.Cluster && found.System != to.System {`, `found.Cluster && !OUT && found.System != to.System {`,
	}),
	in(verbs, "old-primary-stopped", "TestFence", edit{
		"fence.go", `if gone.Container != "" && !slices`, `if !OUT && gone.Container != "" && !slices`,
	}),
	in(verbs, "old-primary-stopped-for-sure", "TestFence", edit{
		"fence.go", `if err := end(ctx, gone.Container); err != nil {`, `if err := end(ctx, gone.Container); err != nil && !OUT {`,
	}),
	in(verbs, "nobody-has-its-volume", "TestFence", edit{
		"fence.go", `if len(using) > 0 {`, `if len(using) > 0 && !OUT {`,
	}),
}
