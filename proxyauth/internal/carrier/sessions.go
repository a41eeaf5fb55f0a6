package carrier

import (
	"crypto/tls"
	"slices"
	"sync"
)

// sessions are the TLS sessions with one https:// proxy, which new connections resume
// (RFC 8446 §2.2, RFC 5077). Each owner has its own, since a proxy may take a session for
// proof of who the client is. crypto/tls decides how long one is resumed: no longer than 7
// days, and not once the certificate that began it has expired.
type sessions struct {
	mu     sync.Mutex
	owners []owned // those used last come last
	broken bool    // the proxy ends handshakes that offer a session
}

// owned is the configuration for the connections of an owner, with the cache of its session.
type owned struct {
	owner  any
	config *tls.Config
}

// maxOwners bounds the owners whose sessions are kept. Not all are forgotten when they go
// out of use: a message that has begun before may dial once more.
const maxOwners = 16

// of returns the configuration for connections of an owner, which is only compared. The
// owner nil is for connections on which nobody is authenticated, and for those that all users
// share. config and host are those of the proxy. offers: there is a session to be resumed.
func (s *sessions) of(owner any, config *tls.Config, host string) (_ *tls.Config, offers bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resumes := resumable(config) && !s.broken
	if !resumes {
		owner = nil // it does not matter
	}
	for i, o := range s.owners {
		if o.owner == owner {
			s.owners = append(slices.Delete(s.owners, i, i+1), o)
			if resumes {
				_, offers = o.config.ClientSessionCache.Get(o.config.ServerName)
			}
			return o.config, offers
		}
	}
	config = tlsConfigFor(config, host)
	if resumes {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // there is one proxy
	}
	if len(s.owners) == maxOwners {
		s.owners = slices.Delete(s.owners, 0, 1)
	}
	s.owners = append(s.owners, owned{owner, config})
	return config, false
}

// resumable reports whether sessions are kept here. They are not where the configuration has
// a cache of its own or disables tickets, nor where it sets a function that crypto/tls does
// not call when a session is resumed: VerifyPeerCertificate or GetClientCertificate.
func resumable(config *tls.Config) bool {
	return config.ClientSessionCache == nil && !config.SessionTicketsDisabled &&
		config.VerifyPeerCertificate == nil && config.GetClientCertificate == nil
}

// forget makes the next connection of an owner begin a session.
func (s *sessions) forget(owner any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = slices.DeleteFunc(s.owners, func(o owned) bool { return o.owner == owner })
}

// stop makes all connections begin a session from now on.
func (s *sessions) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners, s.broken = nil, true
}
