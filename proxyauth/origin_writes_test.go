package proxyauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// written is what an origin may write in an answer that the proxy passes on as it is:
// fields, and perhaps a trailer.
type written struct {
	status  int // zero: 200
	fields  []string
	trailer string
	fails   bool // the request that meets it ends in an error
	again   bool // the proxy asks once for it
}

const infoField = "Proxy-Authentication-Info: "

func kibi(n int) string { return strings.Repeat("x", n<<10) }

// writings are all that an origin can write and that a client could take in. What each
// changes, and for how long, is in guides/how-it-works.md.
var writings = map[string]written{
	"nextnonce":                          {fields: []string{infoField + `nextnonce="evil"`}, again: true},
	"nextnonce of 1 KiB":                 {fields: []string{infoField + `nextnonce="` + kibi(1) + `"`}, again: true},
	"nextnonce of more":                  {fields: []string{infoField + `nextnonce="` + kibi(1) + `x"`}},
	"nextnonce of 8 KiB":                 {fields: []string{infoField + `nextnonce="` + kibi(8) + `"`}},
	"nextnonce of 1 MiB":                 {fields: []string{infoField + `nextnonce="` + kibi(1<<10) + `"`}},
	"nextnonce behind 1 MiB":             {fields: []string{infoField + kibi(1<<10), infoField + `nextnonce="evil"`}},
	"nextnonce with quotes":              {fields: []string{infoField + `nextnonce="e\"v\"il"`}},
	"nextnonce with backslashes":         {fields: []string{infoField + `nextnonce="e\\vil"`}},
	"nextnonce with a tab":               {fields: []string{infoField + "nextnonce=\"e\tvil\""}},
	"nextnonce with blanks":              {fields: []string{infoField + `nextnonce="e v i l"`}},
	"nextnonce in ISO-8859-1":            {fields: []string{infoField + "nextnonce=\"\xe4\""}},
	"nextnonce with a control character": {fields: []string{infoField + "nextnonce=\"\x01\""}, fails: true},
	"nextnonce, empty":                   {fields: []string{infoField + `nextnonce=""`}},
	"nextnonce, twice":                   {fields: []string{infoField + `nextnonce="evil", nextnonce="worse"`}, again: true},
	"nextnonce, 10,000 times":            {fields: []string{strings.Repeat(infoField+"nextnonce=\"evil\"\r\n", 10_000) + "A: b"}, again: true},
	"nextnonce in a trailer":             {trailer: infoField + `nextnonce="evil"`, again: true},
	"nextnonce of 2 KiB in a trailer":    {trailer: infoField + `nextnonce="` + kibi(2) + `"`},
	"nextnonce for the origin":           {fields: []string{`Authentication-Info: nextnonce="evil"`}},
	"nextnonce with 404":                 {status: 404, fields: []string{infoField + `nextnonce="evil"`}},
	"nextnonce with 500":                 {status: 500, fields: []string{infoField + `nextnonce="evil"`}},
	"rspauth":                            {fields: []string{infoField + `rspauth="00000000000000000000000000000000"`}, fails: true},
	"rspauth of 1 MiB":                   {fields: []string{infoField + `rspauth="` + kibi(1<<10) + `"`}},
	"rspauth in a trailer":               {trailer: infoField + `rspauth="00000000000000000000000000000000"`, fails: true},
	"garbage":                            {fields: []string{infoField + `,,"=;\`}},

	"200 with a challenge":              {fields: []string{`Proxy-Authenticate: Basic realm="evil"`}},
	"200 with a token":                  {fields: []string{"Proxy-Authenticate: Negotiate TlRM"}},
	"401 with a challenge of the proxy": {status: 401, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="evil", stale=true`}},
	"407 for Basic":                     {status: 407, fields: []string{`Proxy-Authenticate: Basic realm="r"`}, fails: true},
	"407 for NTLM":                      {status: 407, fields: []string{"Proxy-Authenticate: NTLM"}, fails: true},
	"407 with a nonce":                  {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="evil"`}, fails: true},
	"407 with stale":                    {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="evil", stale=true`}, fails: true},
	"407 with a nonce of 8 KiB":         {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="` + kibi(8) + `", stale=true`}, fails: true},
	"407 with an opaque of 8 KiB":       {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="n", opaque="` + kibi(8) + `"`}, fails: true},
	"407 with a realm of 8 KiB":         {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="` + kibi(8) + `", nonce="evil"`}, fails: true},
	"407 for another realm":             {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="evil", nonce="evil"`}, fails: true},
	"407 with another algorithm":        {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="evil", algorithm=SHA-512-256`}, fails: true},
	"407 with an algorithm of its own":  {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="r", nonce="evil", algorithm=ROT13`}, fails: true},
	"407 for a realm and algorithm":     {status: 407, fields: []string{`Proxy-Authenticate: Digest realm="evil", nonce="evil", algorithm=ROT13`}, fails: true},
	"407 without a challenge":           {status: 407},

	"Connection: close":       {fields: []string{"Connection: close"}},
	"Proxy-Connection: close": {fields: []string{"Proxy-Connection: close"}},
	"Proxy-Support":           {fields: []string{"Proxy-Support: Session-Based-Authentication"}},
	"Alt-Svc":                 {fields: []string{`Alt-Svc: h3=":443"; ma=86400, h2="evil.example:443"; persist=1`}},
	"417":                     {status: 417},
	"421":                     {status: 421},
	"400":                     {status: 400},
	"431":                     {status: 431},
	"Set-Cookie":              {fields: []string{"Set-Cookie: a=b"}},
}

func (w written) answer() scripted.Answer {
	status := w.status
	if status == 0 {
		status = 200
	}
	if w.trailer == "" {
		return scripted.Page(status, "evil", w.fields...)
	}
	return scripted.Raw("HTTP/1.1 200 OK\r\nTrailer: Proxy-Authentication-Info\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n" + w.trailer + "\r\n\r\n")
}

// unknownNonces is what proxies do about a nonce that they have not given out.
var unknownNonces = map[string]scripted.Answer{
	"stale":     scripted.Challenges(`Digest realm="r", nonce="n", qop="auth", stale=true`),
	"challenge": scripted.Challenges(`Digest realm="r", nonce="n", qop="auth"`),
	"400":       scripted.Status(400),
}

// R13, R37, R41: what an origin writes costs the request that meets it, and one more leg
// of the next, or where the proxy answers 400 to a nonce that is not its own, that one
// request. Then everything passes as before, whatever the proxy does about such a nonce.
func TestOriginWrites(t *testing.T) {
	for proxy, unknown := range unknownNonces {
		for name, wrote := range writings {
			t.Run(proxy+"/"+name, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(func(req *http.Request) scripted.Answer {
						field := req.Header.Get("Proxy-Authorization")
						switch {
						case len(field) > 8000: // as Apache
							return scripted.Status(400)
						case field == "":
							return scripted.Challenges(`Digest realm="r", nonce="n", qop="auth"`)
						case !strings.Contains(field, `nonce="n"`) || !strings.Contains(field, `realm="r"`):
							return unknown
						case req.URL.Host == "evil.example":
							return wrote.answer()
						}
						return scripted.PassWith("origin")
					})
					tr := w.through(s)
					requireOK(t, tr, "http://good.example/")
					legs := len(s.Requests())
					require.Equal(t, 2, legs)

					status, _, err := fetch(tr, "http://evil.example/")
					if proxy != "400" || wrote.status != 407 {
						require.Equal(t, wrote.fails, err != nil, "%d %v", status, err)
					}
					legs = len(s.Requests())

					status, _, err = fetch(tr, "http://good.example/")
					require.NoError(t, err)
					switch {
					case wrote.again && proxy == "400":
						require.Equal(t, 400, status)
						requireOK(t, tr, "http://good.example/")
						legs += 2
					case wrote.again:
						require.Equal(t, 200, status)
						legs += 2
					default:
						require.Equal(t, 200, status)
						legs++
					}
					assert.Len(t, s.Requests(), legs)
					for _, host := range []string{"good", "other", "good"} {
						requireOK(t, tr, "http://"+host+".example/")
					}
					require.Len(t, s.Requests(), legs+3)
				})
			})
		}
	}
}

// R37, R41: the challenge of an origin whose target needs no credentials does not make the
// proxy's own look like a man in the middle's, when a nonce has ended.
func TestOriginChallengesFreeTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nonce, evil := "n", false
		s := w.scripted(func(req *http.Request) scripted.Answer {
			field := req.Header.Get("Proxy-Authorization")
			switch {
			case req.URL.Host == "free.example" && evil:
				return scripted.Challenge("Basic", "realm", "r")
			case req.URL.Host != "free.example" && !strings.Contains(field, `nonce="`+nonce+`"`):
				return scripted.Challenge("Digest", "realm", "r", "qop", "auth", "nonce", nonce)
			}
			return scripted.PassWith("origin")
		})
		tr := w.through(s)
		for _, host := range []string{"free", "good", "free"} {
			requireOK(t, tr, "http://"+host+".example/")
		}
		evil = true
		_, _, err := fetch(tr, "http://free.example/")
		require.ErrorContains(t, err, "downgrade")
		nonce = "m"
		legs := len(s.Requests())
		for range 3 {
			requireOK(t, tr, "http://good.example/")
		}
		require.Len(t, s.Requests(), legs+4)
	})
}

// R37, R41: where connections are authenticated, what an origin writes costs the request
// that meets it, and one handshake more.
func TestOriginWritesOnConnections(t *testing.T) {
	for name, answer := range map[string]scripted.Answer{
		"407 for NTLM":            scripted.Challenge("NTLM"),
		"407 with a type 2":       scripted.Challenges("NTLM " + stubType2),
		"407 for Basic":           askBasic,
		"407 without a challenge": scripted.Challenges(),
		"200 with a token":        scripted.Page(200, "evil", "Proxy-Authenticate: NTLM TlRM"),
		"401 with a token":        scripted.Page(401, "evil", "Proxy-Authenticate: Negotiate TlRM"),
		"HTTP/1.0":                scripted.Raw("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nevil").Then(scripted.HangUp()),
		"HTTP/1.0 that is kept":   scripted.Raw("HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 4\r\n\r\nevil"),
		"Connection: close":       scripted.Page(200, "evil", "Connection: close"),
		"Proxy-Connection: close": scripted.Page(200, "evil", "Proxy-Connection: close"),
		"1 MiB of header":         scripted.Page(200, "evil", strings.Repeat("a: b\r\n", 1<<20/6)+"b: c"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				passes := byNTLM(scripted.PassWith("origin"))
				authenticated := false // some connection: each begins with a type 1 then
				s := w.scripted(func(req *http.Request) scripted.Answer {
					authenticated = authenticated || ntlmStep(req) == 3
					switch {
					case ntlmStep(req) == 1 || !authenticated:
						return passes(req)
					case req.URL.Host == "evil.example":
						return answer
					}
					return scripted.PassWith("origin")
				})
				tr := w.through(s)
				for range 2 {
					requireOK(t, tr, "http://good.example/")
				}
				fetch(tr, "http://evil.example/")
				legs := len(s.Requests())
				for range 3 {
					requireOK(t, tr, "http://good.example/")
				}
				require.LessOrEqual(t, len(s.Requests()), legs+5)
			})
		})
	}
}
