package proxytest

import "slices"

// A Realm has users of its own, and the schemes by which they authenticate for
// its targets: a protection space of RFC 9110, section 11.5. A proxy whose
// policy names the realm rule by rule has several, as Blue Coat's does
// (authenticate(realm) in a rule of its policy).
type Realm struct {
	// Targets are the hosts of the realm, such as "intranet.example" or
	// "intranet.example:443".
	Targets []string

	// Auth holds the schemes offered to requests for these targets, and Users
	// the users who may reach them, as those in [Config] do for all others.
	Auth  []Auth
	Users map[string]string
}

// space is a realm at work.
type space struct {
	targets  []string // of the last realm of a proxy: none, for it has all others
	auth     []Auth
	accounts *accounts
	schemes  []scheme
}

func newSpace(p *Proxy, targets []string, auth []Auth, accounts *accounts) *space {
	s := &space{targets: targets, auth: auth, accounts: accounts}
	for _, a := range auth {
		s.schemes = append(s.schemes, a.start(p, accounts))
	}
	return s
}

// realms returns the realms of a configuration; the last is that of all other
// targets.
func (p *Proxy) realms(c Config) []*space {
	var spaces []*space
	for _, r := range c.Realms {
		spaces = append(spaces, newSpace(p, slices.Clone(r.Targets), r.Auth, newAccounts(r.Users)))
	}
	return append(spaces, newSpace(p, nil, c.Auth, p.accounts))
}

// space returns the realm of the request.
func (x *exchange) space() *space {
	p := x.c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.spaces) - 1
	for _, s := range p.spaces[:last] {
		if x.isFor(s.targets) {
			return s
		}
	}
	return p.spaces[last]
}
