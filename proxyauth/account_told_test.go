package proxyauth_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A logbook is what a Logger was told. It is safe for use by many goroutines.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
	read int // of text
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// told returns the events of a level that have come since the last call.
func (l *logbook) told(t *testing.T, level slog.Level) (events []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()[l.read:]) {
		var event map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &event))
		if event["level"] == level.String() {
			events = append(events, event)
		}
	}
	l.read = l.text.Len()
	return events
}

// R35, R37: the log tells at Warn that credentials which have passed were refused,
// and at Info that they are good again: once, and not for each request.
func TestLogOfSuspects(t *testing.T) {
	for _, scheme := range []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"} {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newProxy(proxytest.Config{Auth: wrongWays[scheme], Users: alice})
					tr := w.newTransport(p)
					book := &logbook{}
					tr.Logger = slog.New(slog.NewJSONHandler(book, nil))
					url := w.ways()[way]
					pass := func() {
						requireOK(t, tr, url)
						synctest.Wait()
						tr.CloseIdleConnections() // so that each authenticates
					}
					pass()
					require.Len(t, book.told(t, slog.LevelInfo), 1, "they have passed for the first time")
					pass()
					require.Empty(t, book.told(t, slog.LevelInfo))
					require.Empty(t, book.told(t, slog.LevelWarn))

					p.SetDirectoryDown(2) // Digest goes twice: its nonce may be too old
					if scheme != "Digest" {
						p.SetDirectoryDown(1)
					}
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					told := book.told(t, slog.LevelWarn)
					require.NotEmpty(t, told, "they are suspect")
					requireSaid(t, told, p)

					pass()
					told = book.told(t, slog.LevelInfo)
					require.Len(t, told, 1, "they are good again")
					requireSaid(t, told, p)
					pass()
					require.Empty(t, book.told(t, slog.LevelInfo))
					requireNoSecret(t, book.text.String(), authorizations(p))
				})
			})
		}
	}
}

// requireSaid requires of events that they name the proxy.
func requireSaid(t *testing.T, events []map[string]any, p *proxytest.Proxy) {
	t.Helper()
	for _, event := range events {
		require.Equal(t, p.URL.String(), event["proxy"], event)
	}
}

// R8, R38: Stats tell how many answers there were to credentials, how many of them
// were refusals or unclear, and how many requests were not sent.
func TestStatsOfAttempts(t *testing.T) {
	counts := func(tr *watchedTransport) [4]int64 {
		s := tr.Stats()
		return [4]int64{s.Attempts, s.Rejections, s.Unclear, s.NotSent}
	}
	for _, scheme := range []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"} {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					url := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: wrongWays[scheme], Users: alice})
					tr := w.newTransport(p)
					tr.Credentials = proxyauth.UserPassword("alice", "open barley")
					for range 5 {
						fetch(tr, url)
					}
					require.Equal(t, [4]int64{2, 2, 0, 3}, counts(tr))

					tr = w.newTransport(p)
					for range 3 {
						requireOK(t, tr, url)
						synctest.Wait()
						tr.CloseIdleConnections()
					}
					require.Equal(t, [4]int64{3, 0, 0, 0}, counts(tr))
					if strings.HasPrefix(scheme, "NTLM") || way == "tunnel" {
						requireOK(t, tr, url)
						requireOK(t, tr, url) // by a connection that is authenticated, or a tunnel that is there
						require.Equal(t, [4]int64{4, 0, 0, 0}, counts(tr))
					}
				})
			})
		}
	}
	for name, unclear := range map[string]int64{"401": 3, "403": 3, "closed": 3, "reset": 3, "no answer": 3, "empty 407 to CONNECT": 3, "stale for ever": 0} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				tr, _, _ := holds[name].begin(t, w)
				require.Equal(t, unclear, tr.Stats().Unclear)
				if unclear > 0 {
					require.Equal(t, [4]int64{unclear, 0, unclear, 0}, counts(tr))
				} else {
					require.Positive(t, tr.Stats().Rejections)
				}
			})
		})
	}
	t.Run("a ticket", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: alice})
			tr := w.newKerberosTransport(p)
			requireOK(t, tr, w.HTTP.URL)
			require.Zero(t, counts(tr))
		})
	})
}

// R8, R38: Diagnose shows how an account stands, and sends nothing that is held.
func TestDiagnoseShowsAccount(t *testing.T) {
	diagnose := func(t *testing.T, tr *watchedTransport, target string) (schemes, all string) {
		r := tr.Diagnose(t.Context(), target)
		all = r.String()
		for _, s := range r.Steps {
			if s.Name == "schemes" {
				schemes = strings.Join(s.Details, "\n")
			}
		}
		return schemes, all
	}
	for _, way := range ways {
		t.Run("passed/"+way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: alice})
				tr := w.newTransport(p)
				requireOK(t, tr, w.ways()[way])
				time.Sleep(3 * time.Second)
				schemes, all := diagnose(t, tr, w.ways()[way])
				require.Regexp(t, `passed (about )?3 ?s(econds)? ago`, schemes, all)
			})
		})
		t.Run("refused/"+way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: map[string]string{"alice": "other"}})
				tr := w.newTransport(p)
				allRejected(t, 3, tr, w.ways()[way])
				time.Sleep(time.Minute)
				schemes, all := diagnose(t, tr, w.ways()[way])
				require.Regexp(t, `refused (twice|2 times).*next try in (about )?30 ?m`, schemes, all)
				require.Equal(t, 2, p.Attempts("alice"))
				require.Regexp(t, `(?i)check|ForgetRejections`, all, "what to do")
			})
		})
		t.Run("held after it passed/"+way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: alice})
				tr := w.newTransport(p)
				targets := []string{w.ways()[way], w.newOrigin().HTTP.URL}
				requireOK(t, tr, targets[0])
				tr.CloseIdleConnections()
				p.SetDirectoryDown(-1)
				for _, url := range targets {
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
				}
				sent := p.Attempts("alice")
				schemes, all := diagnose(t, tr, targets[0])
				require.Regexp(t, `refused (twice|2 times).*next try in (about )?(20|30) ?s`, schemes, all)
				require.Equal(t, sent, p.Attempts("alice"))
			})
		})
	}
	t.Run("unclear", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			s := w.scripted(scripted.Demand(askBasic, scripted.Status(401)))
			tr := w.through(s)
			for range 4 {
				fetch(tr, w.HTTPS.URL)
			}
			sent := len(s.Authorizations())
			schemes, all := diagnose(t, tr, w.HTTPS.URL)
			require.Regexp(t, `next try in (about )?(1 ?m|60 ?s)`, schemes, all)
			require.NotContains(t, schemes, "refused", "it is unclear")
			require.Len(t, s.Authorizations(), sent)
		})
	})
}
