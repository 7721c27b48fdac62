package delta

import (
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// Token is one step of a delta that came in: new data, a reference to a block,
// or the end.
type Token struct {
	Literal []byte // good until the next token
	Block   int32  // when there is no Literal
	End     bool
}

// Incoming is where a delta comes from.
type Incoming interface {
	// Next is the next step.
	Next() (Token, error)
	// Seen is told the contents of each block referred to, in order.
	Seen(contents []byte) error
}

// plainOut sends a delta as it is: lengths and data, or blocks as negative
// numbers.
type plainOut struct{ to *wire.Encoder }

// NewTokens sends deltas without compression.
func NewTokens(to *wire.Encoder) Tokens { return plainOut{to} }

func (p plainOut) Literal(data []byte) error {
	if err := p.to.Int(int32(len(data))); err != nil {
		return err
	}
	_, err := p.to.Write(data)
	return err
}

func (p plainOut) Match(block int32, _ []byte) error { return p.to.Int(-1 - block) }

func (p plainOut) End() error { return p.to.Int(0) }

// plainIn receives what plainOut sends.
type plainIn struct {
	from   *wire.Reader
	left   int32 // of the current new data, bytes
	buffer []byte
}

// NewIncoming receives deltas without compression.
func NewIncoming(from *wire.Reader) Incoming { return &plainIn{from: from} }

func (p *plainIn) Next() (Token, error) {
	if p.left == 0 {
		number, err := p.from.Int()
		switch {
		case err != nil:
			return Token{}, err
		case number == 0:
			return Token{End: true}, nil
		case number < 0:
			return Token{Block: -1 - number}, nil
		}
		p.left = number
	}
	if p.buffer == nil {
		p.buffer = make([]byte, piece)
	}
	data := p.buffer[:min(p.left, piece)]
	p.left -= int32(len(data))
	return Token{Literal: data}, p.from.Full(data)
}

func (p *plainIn) Seen([]byte) error { return nil }
