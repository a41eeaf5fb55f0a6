package scheme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// NegotiateOptions say where the Negotiate scheme has its tickets from. The zero value
// takes them from the environment, as the MIT programs do.
type NegotiateOptions struct {
	ConfigPath            string // krb5.conf
	CachePath             string // the ticket cache
	KeytabPath, Principal string // the client keytab, and whose key in it
	SPN                   string // of the proxy; "": HTTP/ and the host of the proxy URL
}

// Negotiate returns the Negotiate scheme (RFC 4559): Kerberos where there is a ticket,
// else NTLM inside SPNEGO. On Windows without credentials it is the logged-in user
// (SSPI).
func Negotiate(o NegotiateOptions) Scheme { return negotiateScheme{NegotiateOptions: o} }

type negotiateScheme struct {
	tokenScheme
	NegotiateOptions
}

func (negotiateScheme) Name() string { return "Negotiate" }

func (negotiateScheme) Traits() Traits {
	return Traits{Strength: 2, Ambient: true, LogsIn: true, Large: true}
}

func (s negotiateScheme) Begin(ctx context.Context, p Proxy, _ []challenge.Challenge, c Credentials) (Session, error) {
	spn, none := s.SPN, c == Credentials{}
	if spn == "" {
		spn = "HTTP/" + p.Host
	}
	if none {
		if session := loggedInUser("Negotiate", spn); session != nil {
			return session, nil
		}
	}
	client := p.Tickets(negotiate.Options{
		ConfigPath: s.ConfigPath, CachePath: s.CachePath, KeytabPath: s.KeytabPath, Principal: s.Principal,
		Username: c.Username, Password: c.Password,
	})
	ticket, err := client.Ticket(ctx, spn)
	var refused *negotiate.Error
	switch {
	case err == nil:
		return &negotiateSession{client: client, spn: spn, principal: ticket.Principal()}, nil
	case errors.As(err, &refused) && refused.Rejected && !none:
		return nil, Refused{err}
	case none, slices.Contains(p.Offered, NTLM().Name()), refused != nil && refused.Barred, errors.Is(err, ErrNotNow):
		return nil, err
	}
	return &negotiateSession{spn: spn, cred: c, noTicket: err}, nil
}

// A negotiateSession makes a handshake for each connection, or for each request
// where the proxy does not remember the connection.
type negotiateSession struct {
	steady
	spn string

	// Kerberos:
	client    *negotiate.Client // nil: NTLM inside SPNEGO
	principal string            // whose ticket it was at first

	// NTLM inside SPNEGO:
	cred     Credentials
	noTicket error // why it is that
}

func (s *negotiateSession) Nature() Nature {
	return Nature{Connection: true, Learns: true, Ticket: s.client != nil}
}

func (s *negotiateSession) Talk(ctx context.Context, p Peer, _ *http.Request, _ bool) Talk {
	return &handshakeTalk{scheme: "Negotiate", session: s, ctx: ctx, peer: p}
}

// Other notices kinit as somebody else. No KDC is asked while the files are as
// they were, nor for a ticket that has ended: connections go on without.
func (s *negotiateSession) Other(ctx context.Context) bool {
	if s.client == nil {
		return false
	}
	ticket := s.client.Kept(s.spn)
	if ticket == nil {
		var err error
		if ticket, err = s.client.Ticket(ctx, s.spn); err != nil {
			return false
		}
	}
	return ticket.Principal() != s.principal
}

// Describe tells whose ticket it is.
func (s *negotiateSession) Describe(ctx context.Context, with string) string {
	if s.client == nil {
		return with + ", as NTLM inside SPNEGO, since there is " + strings.TrimPrefix(s.noTicket.Error(), "negotiate: ")
	}
	if ticket, err := s.client.Ticket(ctx, s.spn); err == nil {
		return fmt.Sprintf("with a ticket for %s: %v", s.spn, ticket)
	}
	return with
}

func (s *negotiateSession) handshake(ctx context.Context, p Peer) (handshake, error) {
	binding := endPointBinding(p.TLS)
	if s.client == nil {
		return &negotiateHandshake{noTicket: s.noTicket, h: negotiate.NTLM(ntlm.New(s.cred.Username, s.cred.Password, ntlm.Options{
			TargetName: s.spn, ChannelBinding: binding, Sign: true,
		}))}, nil
	}
	ticket, err := s.client.Ticket(ctx, s.spn)
	if err != nil {
		return nil, err
	}
	return &negotiateHandshake{h: negotiate.Kerberos(ticket, binding), ticket: true}, nil
}
