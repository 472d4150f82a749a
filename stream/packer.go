package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/offerflow/offerflow/db/txmark"
)

// Packer writes what concurrent callers bring together, as one JSON array: what arrives while one
// write is under way goes into the next. It adds no wait of its own, and under load one sync or one
// statement is shared by hundreds.
type Packer struct {
	write   func(packed []byte) error
	pending chan packedRecords
	// next came after a pack that had no room for it.
	next    *packedRecords
	stopped chan struct{}
	done    sync.WaitGroup
}

// packedRecords are one caller's.
type packedRecords struct {
	records []byte
	written chan error
}

const (
	// maxPackedBytes keeps a pack below the stream server's largest message, 1 MiB.
	maxPackedBytes = 512 << 10
	// maxPending bounds memory: above it callers get ErrUnavailable.
	maxPending = 16_384
)

// NewPacker starts one. write is called with one pack at a time and must not keep it.
func NewPacker(write func(packed []byte) error) *Packer {
	p := &Packer{write: write, pending: make(chan packedRecords, maxPending), stopped: make(chan struct{})}
	p.done.Go(p.run)
	return p
}

// Put returns write's answer to the pack that holds the records: one JSON value, or several with
// commas between them. Any error means that they may not be written.
func (p *Packer) Put(ctx context.Context, records []byte) error {
	if err := txmark.Check(ctx, "waiting for a shared write"); err != nil {
		return err
	}
	mine := packedRecords{records: records, written: make(chan error, 1)}
	select {
	case p.pending <- mine:
	default:
		return ErrUnavailable
	}
	select {
	case err := <-mine.written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits until everything that was accepted is written. No Put may follow.
func (p *Packer) Close() {
	close(p.stopped)
	p.done.Wait()
}

func (p *Packer) run() {
	var pack []packedRecords
	var packed []byte
	for {
		if pack = p.gather(pack[:0]); len(pack) == 0 {
			return
		}
		packed = append(packed[:0], '[')
		for i, mine := range pack {
			if i > 0 {
				packed = append(packed, ',')
			}
			packed = append(packed, mine.records...)
		}
		err := p.write(append(packed, ']'))
		for _, mine := range pack {
			mine.written <- err
		}
	}
}

// gather waits for the first, and takes what is waiting already without waiting for more. It comes
// back empty when all is written and no more will come.
func (p *Packer) gather(pack []packedRecords) []packedRecords {
	size := 0
	take := func(mine packedRecords) (fits bool) {
		if size += len(mine.records) + 1; size > maxPackedBytes && len(pack) > 0 {
			p.next = &mine
			return false
		}
		pack = append(pack, mine)
		return true
	}
	if p.next != nil {
		take(*p.next)
		p.next = nil
	} else {
		select {
		case first := <-p.pending:
			take(first)
		case <-p.stopped:
		}
	}
	for {
		select {
		case more := <-p.pending:
			if !take(more) {
				return pack
			}
		default:
			return pack
		}
	}
}

// Records are the values of a packed array, as Put takes them; ok is false when it is no array.
func Records(packed []byte) (records []byte, ok bool) {
	packed = bytes.TrimSpace(packed)
	if len(packed) < 2 || packed[0] != '[' || !json.Valid(packed) {
		return nil, false
	}
	return bytes.TrimSpace(packed[1 : len(packed)-1]), true
}
