package proxyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// ntlmStep returns the type of the NTLM message of a request, 0 for none.
func ntlmStep(req *http.Request) int {
	_, token, _ := strings.Cut(req.Header.Get("Proxy-Authorization"), " ")
	for step, begin := range map[int]string{1: "TlRMTVNTUAAB", 3: "TlRMTVNTUAAD"} {
		if strings.HasPrefix(token, begin) {
			return step
		}
	}
	return 0
}

// ntlmScript demands NTLM and answers its legs with these challenges, of which
// the first is to type 1, and then gives the last answer.
func ntlmScript(bare, type2, last scripted.Answer) scripted.Script {
	return func(req *http.Request) scripted.Answer {
		answer := map[int]scripted.Answer{0: bare, 1: type2, 3: last}[ntlmStep(req)]
		if req.Close && ntlmStep(req) != 3 {
			return answer.Then(scripted.HangUp())
		}
		return answer
	}
}

// byNTLM is a proxy that takes any NTLM.
func byNTLM(last scripted.Answer) scripted.Script {
	return ntlmScript(scripted.Challenge("NTLM"), scripted.Challenges("NTLM "+stubType2), last)
}

func ntlmOnly() []proxytest.Auth { return []proxytest.Auth{proxytest.NTLM{}} }

// R18: names with a domain, with a realm and bare, in Unicode; the domain is the
// user's.
func TestNTLMUsers(t *testing.T) {
	o := newOrigin(t)
	for name, test := range map[string]struct {
		user string
		ok   bool
	}{
		"bare":           {"alice", true},
		"domain":         {`TESTDOM\alice`, true},
		"UPN":            {"alice@corp.example", true},
		"unknown domain": {`OTHER\bob`, false},
		"known domain":   {`CORP\bob`, true},
		"Unicode":        {`ДОМЕН\пользователь`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: map[string]string{
				"alice": "pa ss:wörd", `CORP\bob`: "pa ss:wörd", "alice@corp.example": "pa ss:wörd", "пользователь": "pa ss:wörd",
			}})
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword(test.user, "pa ss:wörd")
			for _, url := range o.ways() {
				_, _, err := fetch(tr, url)
				if test.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, proxyauth.ErrRejected)
				}
			}
		})
	}
}

// R20: channel binding, MIC and target name, and a proxy that is somebody else.
func TestNTLMBinding(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{
		RequireChannelBinding: true, RequireMIC: true, RequireTargetName: true,
	}}, Users: alice})
	t.Cleanup(p.Close)
	for _, url := range o.ways() {
		requireOK(t, newTransport(t, p, o), url)
	}

	// A man in the middle with a certificate that the client trusts passes the
	// messages on: the handshake is bound to the wrong connection.
	for _, url := range o.ways() {
		tr := newTransport(t, p, o)
		addr, cert := relayTLS(t, p)
		tr.Base.TLSClientConfig.RootCAs.AddCert(cert)
		tr.Base.DialContext = dialOnly(addr)
		_, _, err := fetch(tr, url)
		require.ErrorIs(t, err, proxyauth.ErrRejected)
	}
}

// R20: a chain whose first hop is reached by TLS: the second handshake is not
// bound to the first proxy's certificate.
func TestNTLMInChain(t *testing.T) {
	o := newOrigin(t)
	first := proxytest.NewTLS(proxytest.Config{Auth: ntlmOnly(), Users: alice})
	t.Cleanup(first.Close)
	second := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	hop1 := newTransport(t, first, o)
	for _, url := range o.ways() {
		hop2 := newTransport(t, second, o)
		hop2.Base.DialContext = hop1.DialContext
		requireOK(t, hop2, url)
	}
}

// R22: what HTTP/1.0 proxies say in ISO-8859-1 is no UTF-8, and grows where its
// case is changed.
func TestNTLMLatin1(t *testing.T) {
	for name, reason := range map[string]string{
		"one": "Authentification n\xe9cessaire", "many": strings.Repeat("\xe9", 100), "more": strings.Repeat("\xe9", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			say := func(status, field, content string) scripted.Answer {
				return scripted.Raw(fmt.Sprintf("HTTP/1.0 %s\r\n%sProxy-Connection: keep-alive\r\nContent-Length: %d\r\n\r\n%s", status, field, len(content), content))
			}
			s := w.scripted(ntlmScript(
				say("407 "+reason, "Proxy-Authenticate: NTLM\r\n", ""),
				say("407 "+reason, "Proxy-Authenticate: NTLM "+stubType2+"\r\n", ""),
				say("200 OK", "", "origin")))
			requireOK(t, w.through(s), w.HTTP.URL)
			require.Equal(t, 2, s.Connections()) // to find out, and for the handshake
		})
	}
}

// R6, R17, R22, R28: the handshake goes through proxies that close connections,
// speak HTTP/1.0, challenge again, offer other schemes, or leave parts of type 2
// out.
func TestNTLMAwkward(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]proxytest.Config{
		"closes after 407":    {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{CloseAfter407: true}},
		"closes silently":     {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{CloseSilently407: true}},
		"HTTP/1.0":            {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{HTTP10: true}},
		"chunked":             {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{Chunked407: true}},
		"re-challenges":       {Auth: []proxytest.Auth{proxytest.NTLM{RechallengeAfter: 2}}},
		"with others":         {Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}, proxytest.NTLM{}}},
		"one field":           {Auth: []proxytest.Auth{proxytest.NTLM{}, proxytest.Basic{Realm: "r"}}, Behaviour: proxytest.Behaviour{OneField: true}},
		"no target info":      {Auth: []proxytest.Auth{proxytest.NTLM{NoTargetInfo: true}}},
		"no timestamp":        {Auth: []proxytest.Auth{proxytest.NTLM{NoTimestamp: true}}},
		"no session security": {Auth: []proxytest.Auth{proxytest.NTLM{NoExtendedSecurity: true}}},
	} {
		o := newOrigin(t)
		for way, url := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				c.Users = alice
				p := newProxy(t, c)
				tr := newTransport(t, p, o)
				for range 6 {
					requireOK(t, tr, url)
				}
				resp, err := (&http.Client{Transport: tr}).Post(url, "text/plain", strings.NewReader("body"))
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 200, resp.StatusCode)
				require.Zero(t, p.Refused("alice"))
				for _, scheme := range sent(p) {
					require.Equal(t, "NTLM", scheme)
				}
				if way == "forward" && name == "HTTP/1.0" {
					require.LessOrEqual(t, p.Counts().Connections, 2, "Proxy-Connection: keep-alive is honoured")
				}
			})
		}
	}
}

// R21: any other answer than 407 to type 1 or type 3 is the answer to the request.
func TestNTLMAnsweredInBetween(t *testing.T) {
	challenge := scripted.Challenge("NTLM")
	for step, script := range map[int]func(answer scripted.Answer) scripted.Script{
		1: func(answer scripted.Answer) scripted.Script { return ntlmScript(challenge, answer, nil) },
		3: byNTLM,
	} {
		for _, status := range []int{200, 401, 403, 502} {
			t.Run(fmt.Sprint("type ", step, "/", status), func(t *testing.T) {
				w := newWorld(t)
				s := w.scripted(script(scripted.Page(status, "the answer")))
				got, body, err := fetch(w.through(s), "http://origin.example/")
				require.NoError(t, err)
				require.Equal(t, status, got)
				require.Equal(t, "the answer", body)
				require.Equal(t, step, ntlmStep(s.Requests()[len(s.Requests())-1]), "nothing is sent after it")

				answer := scripted.Page(status, "the answer")
				switch status {
				case 401: // to CONNECT some proxies say it for 407
					return
				case 200:
					answer = scripted.Raw("HTTP/1.1 200 OK\r\n\r\n").Then(scripted.Echo())
				}
				s = w.scripted(script(answer))
				c, err := w.through(s).DialContext(t.Context(), "tcp", "origin.example:1")
				require.Equal(t, step, ntlmStep(s.Requests()[len(s.Requests())-1]), "nothing is sent after it")
				if status == 200 {
					require.NoError(t, err)
					require.NoError(t, c.Close())
					return
				}
				var refused *proxyauth.ConnectError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, status, refused.StatusCode)
			})
		}
	}
}
