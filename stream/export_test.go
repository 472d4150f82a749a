package stream

// Waiting is how many calls wait for the next pack.
func (p *Packer) Waiting() int { return len(p.pending) }
