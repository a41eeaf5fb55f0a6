package scheme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// NTLM returns the NTLM scheme (MS-NLMP, MS-NTHT), NTLMv2 only. On Windows without
// credentials it is the logged-in user (SSPI).
func NTLM() Scheme { return ntlmScheme{} }

type ntlmScheme struct{ tokenScheme }

func (ntlmScheme) Name() string { return "NTLM" }

func (ntlmScheme) Traits() Traits { return Traits{Strength: 2, Ambient: true} }

func (ntlmScheme) Begin(_ context.Context, p Proxy, _ []challenge.Challenge, c Credentials) (Session, error) {
	if c == (Credentials{}) {
		if session := loggedInUser("NTLM", "HTTP/"+p.Host); session != nil {
			return session, nil
		}
		return nil, ErrNoCredentials
	}
	if c.Username == "" {
		return nil, errors.New("no user name")
	}
	return &ntlmSession{cred: c}, nil
}

type ntlmSession struct {
	steady
	cred Credentials
}

func (*ntlmSession) Nature() Nature { return Nature{Connection: true} }

func (s *ntlmSession) Talk(ctx context.Context, p Peer, _ *http.Request, _ bool) Talk {
	return &handshakeTalk{scheme: "NTLM", session: s, ctx: ctx, peer: p}
}

func (s *ntlmSession) handshake(_ context.Context, p Peer) (handshake, error) {
	return ntlmHandshake{ntlm.New(s.cred.Username, s.cred.Password, ntlm.Options{
		TargetName:     "HTTP/" + p.Host,
		ChannelBinding: endPointBinding(p.TLS),
	})}, nil
}

type ntlmHandshake struct{ h *ntlm.Handshake }

func (n ntlmHandshake) next(token68 string) (string, bool, error) {
	message, err := decode(token68)
	if err != nil {
		return "", false, err
	}
	reply, err := n.h.Next(message)
	return base64.StdEncoding.EncodeToString(reply), token68 != "", err
}

func (ntlmHandshake) bare(last bool) *Failure {
	if !last {
		return &Failure{Err: errors.New("the proxy does not answer the first message of the handshake"), Early: true}
	}
	return nil
}

func (ntlmHandshake) done(string) error { return nil }

func (ntlmHandshake) close() {}
