package proxyauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// NegotiateOptions say where the Negotiate scheme has its tickets from. The
// zero value takes them from the environment, as the MIT programs do.
type NegotiateOptions struct {
	// ConfigPath is the krb5.conf. Empty: the files of KRB5_CONFIG, else
	// /etc/krb5.conf.
	ConfigPath string

	// CachePath is the ticket cache: "FILE:…", "DIR:…" or a plain path.
	// Empty: KRB5CCNAME, else default_ccache_name of krb5.conf, else
	// /tmp/krb5cc_ and the user's id.
	CachePath string

	// KeytabPath is the client keytab, and Principal whose key in it is used.
	// Empty: KRB5_CLIENT_KTNAME, and its first entry.
	KeytabPath, Principal string

	// SPN is the proxy's service principal name. Empty: HTTP/ and the host of
	// the proxy URL as it is written; the DNS has no say in it.
	SPN string
}

// Negotiate returns the Negotiate scheme (RFC 4559): Kerberos with a ticket
// that is there (ticket cache, keytab) or gotten by the password of
// "user@REALM"; without one, NTLM inside SPNEGO for a user name and password,
// where the proxy does not offer NTLM by that name too. On Windows without
// credentials it is the logged-in user (SSPI).
//
// Credentials are not needed where there is a ticket. With credentials, a
// ticket cache counts if it is that user's. More than one NegotiateOptions is
// an error of the program and panics.
func Negotiate(o ...NegotiateOptions) Scheme {
	switch len(o) {
	case 0:
		return negotiateScheme{}
	case 1:
		return negotiateScheme{o[0]}
	}
	panic("proxyauth: Negotiate takes one NegotiateOptions")
}

type negotiateScheme struct{ NegotiateOptions }

func (negotiateScheme) Name() string { return "Negotiate" }

func (negotiateScheme) traits() traits {
	return traits{strength: 2, ambient: true, logsIn: true, large: true}
}

func (negotiateScheme) requires() []string { return nil }

func (negotiateScheme) secretsIn(string) []string { return nil }

func (negotiateScheme) best(offers []challenge.Challenge) []challenge.Challenge { return offers }

func (s negotiateScheme) accept(ctx context.Context, p proxyFacts, _ []challenge.Challenge, c Credentials) (answerer, error) {
	spn := s.SPN
	if spn == "" {
		spn = "HTTP/" + p.host
	}
	if c.empty() {
		if bound := loggedInUser("Negotiate", spn); bound != nil {
			return answerer{bound: bound}, nil
		}
	}
	a := &negotiateAuth{spn: spn, cred: c, client: p.tickets(negotiate.Options{
		ConfigPath: s.ConfigPath, CachePath: s.CachePath, KeytabPath: s.KeytabPath, Principal: s.Principal,
		Username: c.Username, Password: c.Password,
	})}
	ticket, err := a.client.Ticket(ctx, spn)
	var refused *negotiate.Error
	switch {
	case err == nil:
		a.principal = ticket.Principal()
		return answerer{bound: a, ticket: true}, nil
	case errors.As(err, &refused) && refused.Rejected && !c.empty():
		return answerer{}, refusedElsewhere{err}
	case c.empty(), slices.Contains(p.offered, NTLM().Name()), refused != nil && (refused.Rejected || refused.Barred), errors.As(err, new(*notAdmitted)):
		return answerer{}, err
	}
	a.client, a.noTicket = nil, err
	return answerer{bound: a}, nil
}

// A negotiateAuth makes a handshake for each connection, or for each request
// where the proxy does not remember the connection.
type negotiateAuth struct {
	client    *negotiate.Client // nil: NTLM inside SPNEGO, since there is
	noTicket  error
	spn       string
	principal string // whose ticket it was at first
	cred      Credentials
	memory    atomic.Int32 // of the proxy
}

// What is known of a proxy's memory for authenticated connections.
const (
	unknownMemory int32 = iota
	remembers
	forgets
)

// again asks for another token on an authenticated connection: if the proxy
// forgets, and while that is not known for a body that would be lost by a 407.
func (a *negotiateAuth) again(req *http.Request) bool {
	switch a.memory.Load() {
	case remembers:
		return false
	case forgets:
		return true
	}
	return a.client != nil && carrier.IsStream(req) // NTLM is bound to the connection
}

func (a *negotiateAuth) learned(remembered bool) {
	if remembered {
		a.memory.CompareAndSwap(unknownMemory, remembers)
	} else {
		a.memory.Store(forgets)
	}
}

// other notices kinit as somebody else. No KDC is asked while the files are as
// they were, nor for a ticket that has ended: connections go on without.
func (a *negotiateAuth) other(ctx context.Context) bool {
	if a.client == nil {
		return false
	}
	ticket := a.client.Kept(a.spn)
	if ticket == nil {
		var err error
		if ticket, err = a.client.Ticket(ctx, a.spn); err != nil {
			return false
		}
	}
	return ticket.Principal() != a.principal
}

func (a *negotiateAuth) handshake(ctx context.Context, p peer) (handshake, error) {
	binding := endPointBinding(p.tls)
	if a.client == nil {
		return &negotiateHandshake{noTicket: a.noTicket, h: negotiate.NTLM(ntlm.New(a.cred.Username, a.cred.Password, ntlm.Options{
			TargetName: a.spn, ChannelBinding: binding, Sign: true,
		}))}, nil
	}
	ticket, err := a.client.Ticket(ctx, a.spn)
	if err != nil {
		return nil, err
	}
	return &negotiateHandshake{h: negotiate.Kerberos(ticket, binding), ticket: true}, nil
}

// describe tells whose ticket it is.
func (a *negotiateAuth) describe(ctx context.Context, with string) string {
	if a.client == nil {
		return with + ", as NTLM inside SPNEGO, since there is " + strings.TrimPrefix(a.noTicket.Error(), "negotiate: ")
	}
	if ticket, err := a.client.Ticket(ctx, a.spn); err == nil {
		return fmt.Sprintf("with a ticket for %s: %v", a.spn, ticket)
	}
	return with
}

type negotiateHandshake struct {
	h        *negotiate.Handshake
	noTicket error // why it is NTLM
	ticket   bool
}

func (n *negotiateHandshake) next(token68 string) (string, bool, error) {
	token, err := base64.StdEncoding.DecodeString(token68)
	if err != nil {
		return "", false, errNotBase64
	}
	reply, last, err := n.h.Next(token)
	return base64.StdEncoding.EncodeToString(reply), last, err
}

func (n *negotiateHandshake) bare(last bool) *schemeError {
	switch {
	case !last && n.noTicket != nil:
		return &schemeError{err: fmt.Errorf("%w, and it does not take NTLM inside Negotiate", n.noTicket)}
	case !last:
		return &schemeError{err: errors.New("the proxy does not take NTLM inside Negotiate")}
	case n.ticket:
		return refusedTicket
	}
	return nil
}

// refusedTicket is no refusal of credentials: no account can be locked by a ticket,
// and kinit gets another.
var refusedTicket = &schemeError{
	err:    errors.New("the proxy refuses the Kerberos ticket"),
	once:   true,
	remedy: "compare SPN and keytab of the proxy, and its clock with this machine's: its log tells which it is",
}

// deniedTicket is refusedTicket for tickets that were good before.
var deniedTicket = &schemeError{
	err:    errors.New("the proxy refuses the Kerberos ticket, and took such a one before"),
	once:   true,
	remedy: "ask the proxy's administrators whether it denies this target; if it refuses all targets, " + refusedTicket.remedy,
}

func (n *negotiateHandshake) done(token68 string) error {
	token, err := base64.StdEncoding.DecodeString(token68)
	if err != nil {
		return unproven{fmt.Errorf("%w: %w", negotiate.ErrServer, errNotBase64)}
	}
	if err := n.h.Done(token); err != nil {
		return unproven{fmt.Errorf("%w: %w", negotiate.ErrServer, err)}
	}
	return nil
}

func (*negotiateHandshake) close() {}
