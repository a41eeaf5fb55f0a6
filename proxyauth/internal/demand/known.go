package demand

import "sync/atomic"

// Known holds the current Demand of a proxy. It is safe for concurrent use.
type Known struct{ now atomic.Pointer[Demand] }

// Load returns the current Demand, which is never nil.
func (k *Known) Load() *Demand {
	if d := k.now.Load(); d != nil {
		return d
	}
	return new(Demand)
}

// Learn replaces the current Demand by the one after the fact. gone are the plans that
// are no longer in force.
func (k *Known) Learn(f Fact) (gone []*Plan) {
	for {
		old := k.now.Load()
		var next Demand
		if old != nil {
			next = *old
		}
		next, gone = next.Next(f)
		if k.now.CompareAndSwap(old, &next) {
			return gone
		}
	}
}
