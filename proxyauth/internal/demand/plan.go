package demand

import (
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A Plan says how requests are sent to a proxy: by a scheme, a session and credentials.
// It is never changed; for another nonce, another plan takes its place.
type Plan struct {
	Scheme  scheme.Scheme // nil: requests go without credentials
	Session scheme.Session
	Nature  scheme.Nature // of the session
	Own     bool          // only one request uses the session; false for a plan in force

	Realm       string // of the challenge, as received
	RealmShown  string // the realm for logs, without secrets
	Credentials scheme.Credentials
	From        string                // where the credentials came from, for errors
	Offers      []challenge.Challenge // that the session answers; nil: no challenge was waited for

	// Account is what may be locked by attempts; nil: nothing, as with a ticket.
	Account *lockout.Account
	Names   []string // the scheme's name alone, in the form in which the guard is asked

	// Record is shared by this plan and all that replace it with another session. The
	// connections that the session has authenticated are kept under it.
	Record *Record

	// Learn is called with the fact that another plan has replaced this one. Renew
	// replaces the session: a proxy may give a new nonce as late as in a trailer.
	Learn func(Fact)
	Renew func(scheme.Session)
}

// A Record is what is known from the requests of a plan.
type Record struct {
	passed atomic.Bool // the proxy has taken the credentials
	odd    atomic.Bool // since the last pass there was a 407 that was no refusal
	memory atomic.Int32
	told   atomic.Pointer[string] // the weaker protection that was logged last

	failing atomic.Int64 // since when the source of the credentials fails, in Unix nanoseconds; zero: it does not
}

// NewRecord returns the record of a plan. passed: its credentials have passed already.
func NewRecord(passed bool) *Record {
	r := new(Record)
	r.passed.Store(passed)
	return r
}

// Whether a proxy remembers that a connection is authenticated.
const (
	unknown int32 = iota
	remembers
	forgets
)

// Bare returns the plan by which requests go without credentials.
func Bare() *Plan { return &Plan{Record: new(Record)} }

// With returns p with another session.
func (p *Plan) With(s scheme.Session) *Plan {
	next := *p
	next.Session, next.Nature = s, s.Nature()
	next.Renew = func(s scheme.Session) { next.Learn(Fact{What: Replaced, Plan: &next, By: next.With(s)}) }
	return &next
}

// WithOwn returns p with another session, which only one request uses.
func (p *Plan) WithOwn(s scheme.Session) *Plan {
	next := p.With(s)
	next.Own = true
	return next
}

// shared returns p as a plan that any request may follow.
func (p *Plan) shared() *Plan {
	if !p.Own {
		return p
	}
	next := *p
	next.Own = false
	return &next
}

// Same reports whether p and other differ in nothing but the session.
func (p *Plan) Same(other *Plan) bool { return p.Record == other.Record }

// Trusted reports whether the proxy has taken the credentials before.
func (p *Plan) Trusted() bool { return p.Record.passed.Load() }

// Passed notes that the proxy has taken the credentials, and reports whether it has for
// the first time.
func (p *Plan) Passed() (first bool) {
	if p.Record.odd.Load() {
		p.Record.odd.Store(false)
	}
	return !p.Record.passed.Load() && p.Record.passed.CompareAndSwap(false, true)
}

// Odd notes that the proxy has answered by a 407 that is no refusal. It reports whether
// there was another one since the credentials passed, or they have never passed.
func (p *Plan) Odd() (again bool) { return p.Record.odd.Swap(true) || !p.Trusted() }

// Weaker reports whether the session of p protects less than one that has passed at the
// proxy of d, so that this can be logged. It does so once for each such protection.
func (p *Plan) Weaker(d *Demand) bool {
	if p.Nature.Protection >= d.Protection || p.Nature.ProtectedBy == "" {
		return false
	}
	told := p.Record.told.Swap(&p.Nature.ProtectedBy)
	return told == nil || *told != p.Nature.ProtectedBy
}

// SourceFails notes that the source of the credentials fails. since is when that began,
// and first reports whether nobody has noted it before.
func (p *Plan) SourceFails(now time.Time) (since time.Time, first bool) {
	first = p.Record.failing.CompareAndSwap(0, now.UnixNano())
	if began := p.Record.failing.Load(); began != 0 && !first {
		return time.Unix(0, began), false
	}
	return now, first
}

// SourceWorks notes that the source of the credentials does not fail any longer.
func (p *Plan) SourceWorks() { p.Record.failing.Store(0) }

// NeedsToken reports whether a request needs a handshake even on an authenticated
// connection: if the proxy forgets that connections are authenticated, or if that is not
// known yet and the request has a stream, which a 407 would lose.
func (p *Plan) NeedsToken(stream bool) bool {
	memory := p.Record.memory.Load()
	return p.Nature.Learns && (memory == forgets || memory == unknown && p.Nature.Ticket && stream)
}

// Remembered notes whether a request passed on an authenticated connection without a
// handshake.
func (p *Plan) Remembered(passed bool) {
	if passed {
		p.Record.memory.CompareAndSwap(unknown, remembers)
	} else {
		p.Record.memory.Store(forgets)
	}
}
