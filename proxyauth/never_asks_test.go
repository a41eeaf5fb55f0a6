package proxyauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// Proxies that demand credentials and never ask for them: what they answer to a request
// without any. net/http with userinfo and curl pass, since they send Basic at once.
var neverAsks = map[string]scripted.Answer{
	"400":   scripted.Page(400, "no"),
	"401":   scripted.Page(401, "no"),
	"403":   scripted.Page(403, "no"),
	"404":   scripted.Page(404, "no"),
	"close": scripted.HangUp(),
	"reset": scripted.Reset(),
}

const basicAtOnce = "Schemes: []proxyauth.Scheme{proxyauth.Basic()}"

// R43: with Basic alone among the schemes the credentials go out with the first request, and
// such a proxy lets it pass, without a 407 and on either way; so it does for net/http.
func TestNeverAsksBasicAlone(t *testing.T) {
	for name, denial := range neverAsks {
		for _, way := range ways {
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Demand(denial, scripted.Pass()))
				tr := w.through(s)
				tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
				for range 3 {
					requireOK(t, tr, w.ways()[way])
				}
				for _, req := range s.Requests() {
					require.Equal(t, "Basic YWxpY2U6b3BlbiBzZXNhbWU=", req.Header.Get("Proxy-Authorization"), name)
				}
				require.Zero(t, tr.Stats().Challenges)

				plain := tr.Base.Clone()
				u := *s.URL()
				u.User = url.UserPassword("alice", "open sesame")
				plain.Proxy = http.ProxyURL(&u)
				defer plain.CloseIdleConnections()
				requireOK(t, plain, w.ways()[way])
			})
		}
	}
}

// R43: the error about a tunnel says so, and for a forwarded request the log, if there are
// credentials, none were sent, and the proxy has never asked for any. Nothing is sent by
// itself.
func TestNeverAsksTold(t *testing.T) {
	for name, denial := range neverAsks {
		for from, give := range map[string]func(tr *proxyauth.Transport, proxy url.URL){
			"the source": func(tr *proxyauth.Transport, _ url.URL) {},
			"the proxy URL": func(tr *proxyauth.Transport, proxy url.URL) {
				proxy.User = url.UserPassword("alice", "open sesame")
				tr.Credentials, tr.Proxy = nil, http.ProxyURL(&proxy)
			},
			"the environment": func(tr *proxyauth.Transport, _ url.URL) { tr.Credentials = nil },
			"nowhere":         func(tr *proxyauth.Transport, _ url.URL) { tr.Credentials = nil },
		} {
			setEnv(t, nil)
			if from == "the environment" {
				setEnv(t, map[string]string{"PROXY_USER": "alice", "PROXY_PASS": "open sesame"})
			}
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Always(denial))
				tr := w.through(s)
				give(tr.Transport, *s.URL())
				var logged bytes.Buffer
				tr.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				said := func(text string) bool { return strings.Contains(strings.Join(strings.Fields(text), " "), basicAtOnce) }

				_, _, err := fetch(tr, w.HTTPS.URL)
				require.Error(t, err)
				require.Equal(t, from != "nowhere", said(err.Error()), "%s, %s: %v", name, from, err)

				logged.Reset()
				_, _, err = fetch(tr, w.HTTP.URL)
				text := logged.String()
				if err != nil {
					text = err.Error()
				}
				require.Equal(t, from != "nowhere", said(text), "%s, %s: %s", name, from, text)
				require.Empty(t, s.Authorizations())

				for _, target := range w.ways() {
					r := tr.Diagnose(t.Context(), target)
					require.Equal(t, from != "nowhere", said(r.String()), "%s, %s:\n%s", name, from, r)
				}
				require.Empty(t, s.Authorizations())
			})
		}
	}
}

// R43: it is not said where credentials were sent, where the proxy has asked for some, or
// where Basic is not the caller's choice to make.
func TestNeverAsksNotTold(t *testing.T) {
	for name, test := range map[string]struct {
		script  scripted.Script
		before  bool // a request to another target
		schemes []proxyauth.Scheme
	}{
		"sent": {scripted.Demand(scripted.Status(500), scripted.Page(403, "")), false, []proxyauth.Scheme{proxyauth.Basic()}},
		"asked before": {func(req *http.Request) scripted.Answer {
			switch {
			case req.Host == "other.example:443" && req.Header.Get("Proxy-Authorization") == "":
				return scripted.Challenge("Basic", "realm", "r")
			case req.Host == "other.example:443":
				return scripted.Page(502, "")
			}
			return scripted.Page(403, "")
		}, true, nil},
		"none allowed":      {scripted.Always(scripted.Page(403, "")), false, []proxyauth.Scheme{}},
		"502, the target's": {scripted.Always(scripted.Page(502, "")), false, nil},
		"503":               {scripted.Always(scripted.Page(503, "")), false, nil},
		"a redirect":        {scripted.Always(scripted.Status(302, "Location: http://login.example/")), false, nil},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			tr := w.through(w.scripted(test.script))
			tr.Schemes = test.schemes
			if test.before {
				_, _, err := fetch(tr, "https://other.example/")
				require.Error(t, err)
			}
			_, _, err := fetch(tr, w.HTTPS.URL)
			require.Error(t, err, name)
			require.NotContains(t, fmt.Sprint(err), basicAtOnce, name)
		})
	}
}
