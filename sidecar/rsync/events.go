package rsync

import "sync"

// An event is what the generator has to know of files it asked for.
type event struct {
	kind    eventKind
	index   int32
	failure error
}

type eventKind int

const (
	eventArrived eventKind = iota // the file is in its place
	eventAgain                    // it did not come out right: ask again
	eventMissing                  // it will not come
	eventPhase                    // the sender is done with a phase
	eventFailed                   // nothing more will come
)

// events wait for the generator. Adding one never waits: who receives files
// must go on reading whatever the generator does. It also remembers which files
// were asked for.
type events struct {
	mu     sync.Mutex
	wake   sync.Cond
	queue  []event
	wanted map[int32]bool
}

func (e *events) add(one event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, one)
	if e.wake.L != nil {
		e.wake.Signal()
	}
}

// take is the next event; with wait it waits for one.
func (e *events) take(wait bool) (event, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wake.L = &e.mu
	for len(e.queue) == 0 {
		if !wait {
			return event{}, false
		}
		e.wake.Wait()
	}
	one := e.queue[0]
	e.queue = e.queue[1:]
	return one, true
}

// want remembers that a file was asked for.
func (e *events) want(index int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted == nil {
		e.wanted = map[int32]bool{}
	}
	e.wanted[index] = true
}

// wants says whether a file was asked for and did not come yet; from now on it
// did.
func (e *events) wants(index int32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	wanted := e.wanted[index]
	delete(e.wanted, index)
	return wanted
}
