package proxyauth_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// toyEndless is Toy-Handshake with an answer to whatever the proxy says.
type toyEndless struct{ toyHandshake }

func (toyEndless) Begin(_ context.Context, _ scheme.Proxy, _ []challenge.Challenge, c scheme.Credentials) (scheme.Session, error) {
	return toyEndlessConnections{toyConnections{toySession{c}}}, nil
}

type toyEndlessConnections struct{ toyConnections }

func (s toyEndlessConnections) Nature() scheme.Nature { return s.toyConnections.Nature() }

func (s toyEndlessConnections) Talk(context.Context, scheme.Peer, *http.Request, bool) scheme.Talk {
	return &toyEndlessMessages{toyMessages{cred: s.cred}}
}

type toyEndlessMessages struct{ toyMessages }

func (*toyEndlessMessages) Challenged([]challenge.Challenge, bool) scheme.Reading {
	return scheme.Reading{More: true}
}

// R34: a handshake that a proxy goes on with for ever, and a scheme, too, ends.
func TestEndlessHandshake(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Demand(scripted.Challenge("Toy-Handshake"), scripted.After(time.Second, scripted.Challenges("Toy-Handshake AAAA"))))
				tr := w.through(s)
				tr.Schemes = []proxyauth.Scheme{proxyauth.SchemeOf(toyEndless{toyHandshake{toyScheme{"Toy-Handshake"}}})}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, "GET", w.ways()[way], nil)
				require.NoError(t, err)
				_, err = tr.RoundTrip(req)
				require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
				require.ErrorContains(t, err, "does not end the handshake")
				require.NoError(t, ctx.Err())
				require.Len(t, s.Requests(), 10)
			})
		})
	}
}
