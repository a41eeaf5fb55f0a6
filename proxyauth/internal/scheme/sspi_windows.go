package scheme

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/alexbrainman/sspi"
	"github.com/alexbrainman/sspi/negotiate"
	"github.com/alexbrainman/sspi/ntlm"

	ours "github.com/go-proxyauth/go-proxyauth/negotiate"
)

// loggedInUser returns how to authenticate as the user whom Windows has logged
// in (SSPI), by "Negotiate" or "NTLM".
func loggedInUser(scheme, spn string) Session { return &sspiSession{scheme: scheme, spn: spn} }

type sspiSession struct {
	steady
	scheme, spn string
}

func (*sspiSession) Nature() Nature { return Nature{Connection: true} }

func (s *sspiSession) Talk(ctx context.Context, p Peer, _ *http.Request, _ bool) Talk {
	return &handshakeTalk{scheme: s.scheme, session: s, ctx: ctx, peer: p}
}

func (s *sspiSession) handshake(context.Context, Peer) (handshake, error) {
	h := &sspiHandshake{ticket: s.scheme != "NTLM"}
	var err error
	if s.scheme == "NTLM" {
		var c *ntlm.ClientContext
		if h.cred, err = ntlm.AcquireCurrentUserCredentials(); err != nil {
			return nil, err
		}
		c, h.first, err = ntlm.NewClientContext(h.cred)
		if err == nil {
			h.update = func(token []byte) ([]byte, error) { return c.Update(token) }
			h.release = func() { c.Release() }
		}
	} else {
		var c *negotiate.ClientContext
		if h.cred, err = negotiate.AcquireCurrentUserCredentials(); err != nil {
			return nil, err
		}
		c, h.first, err = negotiate.NewClientContext(h.cred, s.spn)
		if err == nil {
			h.update = func(token []byte) ([]byte, error) {
				_, reply, err := c.Update(token)
				return reply, err
			}
			h.release = func() { c.Release() }
		}
	}
	if err != nil {
		h.cred.Release()
		return nil, err
	}
	return h, nil
}

// A sspiHandshake is a security context of Windows, which has each token's
// next. It is released with the handshake's last leg.
type sspiHandshake struct {
	cred    *sspi.Credentials
	ticket  bool // by Negotiate, and mostly a ticket
	first   []byte
	update  func(token []byte) ([]byte, error)
	release func()
}

func (h *sspiHandshake) next(token68 string) (string, bool, error) {
	if token68 == "" {
		return base64.StdEncoding.EncodeToString(h.first), true, nil
	}
	token, err := decode(token68)
	if err != nil {
		return "", false, err
	}
	reply, err := h.update(token)
	return base64.StdEncoding.EncodeToString(reply), true, err
}

func (h *sspiHandshake) done(token68 string) error {
	if token68 == "" {
		return nil
	}
	if _, _, err := h.next(token68); err != nil {
		return Unproven{fmt.Errorf("%w: %w", ours.ErrServer, err)}
	}
	return nil
}

func (h *sspiHandshake) bare(bool) *Failure {
	if h.ticket {
		return RefusedTicket
	}
	return nil
}

func (h *sspiHandshake) close() {
	h.release()
	h.cred.Release()
}
