package proxyauth_test

import (
	"bytes"
	"encoding/json"
	"expvar"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// Counting and closing are no first use, which would fix the settings.
func TestSettingsAfterStats(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{})
	configured := newTransport(t, p, o)
	tr := &proxyauth.Transport{}
	require.Equal(t, proxyauth.Stats{}, tr.Stats())
	tr.CloseIdleConnections()
	tr.Base, tr.Proxy = configured.Base, http.ProxyURL(p.URL)
	defer tr.CloseIdleConnections()
	requireOK(t, tr, o.HTTP.URL)
	require.Len(t, p.Transcript(), 1)
}

// The counts agree with what the proxy counts.
func TestStats(t *testing.T) {
	o := newOrigin(t)
	for name, auth := range map[string]proxytest.Auth{"Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := newTransport(t, p, o)
				require.Equal(t, proxyauth.Stats{}, tr.Stats())
				for range 3 {
					requireOK(t, tr, target)
					tr.CloseIdleConnections()
				}
				seen, stats := p.Counts(), tr.Stats()
				require.EqualValues(t, 3, stats.Exchanges)
				require.EqualValues(t, seen.Tunnels, stats.Tunnels)
				require.EqualValues(t, seen.Challenges, stats.Challenges)
				require.EqualValues(t, seen.Handshakes, stats.Handshakes)
				require.Zero(t, stats.Rejections+stats.Retries)
				if name == "Digest" {
					require.EqualValues(t, 2, stats.Reused)
				}
				require.Greater(t, stats.BytesSent, int64(3*100))
				require.Greater(t, stats.BytesReceived, int64(3*100))

				p.SetUser("alice", "new")
				_, _, err := fetch(tr, target)
				require.ErrorIs(t, err, proxyauth.ErrRejected)
				require.EqualValues(t, 1, tr.Stats().Rejections)

				// As expvar shows them.
				var shown map[string]int64
				require.NoError(t, json.Unmarshal([]byte(expvar.Func(func() any { return tr.Stats() }).String()), &shown))
				require.EqualValues(t, 4, shown["Exchanges"])
				require.Contains(t, shown, "BytesReceived")
			})
		}
	}
}

// One event for each leg, with the keys that are promised.
func TestLog(t *testing.T) {
	o := newOrigin(t)
	for name, test := range map[string]struct {
		auth     proxytest.Auth
		outcomes []string
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, []string{"challenged", "passed", "passed"}},
		"NTLM":   {proxytest.NTLM{}, []string{"challenged", "refused", "passed", "passed"}},
	} {
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{test.auth}, Users: alice})
				tr := newTransport(t, p, o)
				var out bytes.Buffer
				tr.Logger = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
				requireOK(t, tr, target)
				if name == "Digest" {
					tr.CloseIdleConnections()
				}
				requireOK(t, tr, target)
				var outcomes []string
				authenticated := 0
				for line := range strings.Lines(out.String()) {
					var event map[string]any
					require.NoError(t, json.Unmarshal([]byte(line), &event))
					require.Equal(t, p.URL.String(), event["proxy"])
					switch event["msg"] {
					case "proxy leg":
						outcomes = append(outcomes, event["outcome"].(string))
						require.NotZero(t, event["leg"])
						require.Contains(t, event, "duration")
						require.Contains(t, event, "status")
						require.NotContains(t, event["target"], "q=1", "no query")
						if event["outcome"] == "passed" {
							require.Equal(t, name, event["scheme"])
						}
					case "proxy authenticated":
						authenticated++
						require.Equal(t, name, event["scheme"])
						require.Equal(t, "Transport.Credentials", event["source"])
					}
				}
				want := test.outcomes
				if name == "NTLM" && way == "tunnel" {
					want = want[:3] // the tunnel is used again
				}
				require.Equal(t, want, outcomes)
				require.Equal(t, 1, authenticated)
			})
		}
	}
}
