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
	owners []owned // the oldest first
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
// share. config and host are those of the proxy.
func (s *sessions) of(owner any, config *tls.Config, host string) *tls.Config {
	resumes := resumable(config)
	if !resumes {
		owner = nil // it does not matter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owners {
		if o.owner == owner {
			return o.config
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
	return config
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
