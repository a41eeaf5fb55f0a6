package scheme_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// challenged answers a 407 with one Digest challenge.
func challenged(t testing.TB, talk scheme.Talk, params string) scheme.Reading {
	t.Helper()
	return talk.Challenged(offers(t, plainDigest, "Digest "+params), false)
}

// passed lets a request pass, with the parameters of a Proxy-Authentication-Info, and
// returns the session to use from then on, which may be nil.
func passed(t testing.TB, talk scheme.Talk, info string) scheme.Session {
	t.Helper()
	var fields []string
	if info != "" {
		fields = []string{"Proxy-Authentication-Info: " + info}
	}
	next, err := talk.Passed(reply(request(t, "GET", "http://origin.example/"), 200, "", fields...), nil)
	require.NoError(t, err)
	return next
}

// nonceOf returns the nonce of the answer that goes out next and its count; "" where
// nothing goes out.
func nonceOf(t testing.TB, talk scheme.Talk) (nonce, nc string) {
	t.Helper()
	field, last, err := talk.Next()
	require.NoError(t, err)
	require.Equal(t, field != nil, last)
	if field == nil {
		return "", ""
	}
	params := offers(t, plainDigest, field...)[0].Params
	return params.Get("nonce"), params.Get("nc")
}

// own begins a conversation with a session that no other request uses.
func own(t testing.TB, s scheme.Session) scheme.Talk {
	t.Helper()
	return s.Talk(t.Context(), scheme.Peer{}, request(t, "GET", "http://origin.example/"), true)
}

// R14: what a challenge says that the one before did not.
func TestDigestDifference(t *testing.T) {
	const first = `realm="r", nonce="n", opaque="o", algorithm=MD5, qop="auth"`
	for name, test := range map[string]struct {
		params       string
		stale, fresh bool
	}{
		"the same":      {first, false, false},
		"stale":         {`realm="r", nonce="m", opaque="o", algorithm=MD5, qop="auth", stale=TRUE`, true, true},
		"the same past": {first + ", stale=true", true, false},
		"nonce":         {`realm="r", nonce="m", opaque="o", algorithm=MD5, qop="auth"`, false, true},
		"opaque":        {`realm="r", nonce="n", opaque="p", algorithm=MD5, qop="auth"`, false, true},
		"algorithm":     {`realm="r", nonce="n", opaque="o", algorithm=SHA-256, qop="auth"`, false, true},
		"qop":           {`realm="r", nonce="n", opaque="o", algorithm=MD5, qop="auth-int"`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			conversation := talk(t, begin(t, plainDigest, "Digest "+first))
			sent(t, conversation)
			r := challenged(t, conversation, test.params)
			require.NotNil(t, r.Next)
			r.Next = nil
			require.Equal(t, scheme.Reading{Stale: test.stale, Fresh: test.fresh}, r)
		})
	}

	conversation := talk(t, begin(t, plainDigest, "Digest "+first))
	sent(t, conversation)
	for _, params := range []string{`realm="r", nonce=""`, `realm="r", nonce="n", algorithm=SHA-3, stale=true`} {
		require.Equal(t, scheme.Reading{}, challenged(t, conversation, params), "it cannot be answered")
	}
	require.Equal(t, scheme.Reading{}, conversation.Challenged(nil, true))
}

// R13, R14: a nonce that comes again is counted on, a fresh one from 1.
func TestDigestCount(t *testing.T) {
	const first = `realm="r", nonce="n", qop="auth"`
	for params, want := range map[string][]string{first: {"n", "00000002"}, `realm="r", nonce="m", qop="auth"`: {"m", "00000001"}} {
		conversation := talk(t, begin(t, plainDigest, "Digest "+first))
		sent(t, conversation)
		nonce, nc := nonceOf(t, own(t, challenged(t, conversation, params).Next))
		require.Equal(t, want, []string{nonce, nc})
	}

	// A challenge that is read before anything was sent: only that counts.
	session := begin(t, plainDigest, "Digest "+first)
	sent(t, talk(t, session))
	r := challenged(t, talk(t, session), `realm="r", nonce="o", qop="auth", stale=true`)
	require.NotNil(t, r.Next)
	require.False(t, r.Next.Used())
	nonce, nc := nonceOf(t, talk(t, r.Next))
	require.Equal(t, []string{"o", "00000001"}, []string{nonce, nc})
	r.Next = nil
	require.Equal(t, scheme.Reading{}, r)
}

// overtaken has two requests use a nonce at once, and returns what a challenge with
// another nonce says to the first.
func overtaken(t testing.TB, session scheme.Session, params string) scheme.Reading {
	t.Helper()
	one, two := talk(t, session), talk(t, session)
	sent(t, one)
	sent(t, two)
	return challenged(t, one, params)
}

// R13: a nonce that ends while several requests use it, and is young, tells of a proxy
// that refuses counts which were overtaken.
func TestDigestStrictIsFoundOut(t *testing.T) {
	const first, fresh = `Digest realm="r", nonce="n", qop="auth"`, `realm="r", nonce="m", qop="auth"`
	for name, test := range map[string]struct {
		age            time.Duration
		params         string
		overtaken, own bool
	}{
		"young":          {10*time.Second - 1, fresh, true, true},
		"old":            {10 * time.Second, fresh, true, false},
		"the same nonce": {0, first[len("Digest "):], false, false},
		"stale":          {0, first[len("Digest "):] + ", stale=true", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := begin(t, plainDigest, first)
				time.Sleep(test.age)
				r := overtaken(t, session, test.params)
				require.Equal(t, test.overtaken, r.Overtaken)
				require.Equal(t, test.own, r.Own)
			})
		})
	}

	// A refusal of a nonce that was used in order says nothing.
	conversation := talk(t, begin(t, plainDigest, first))
	sent(t, conversation)
	r := challenged(t, conversation, fresh+", stale=true")
	require.False(t, r.Overtaken)
	require.False(t, r.Own)
}

// R13: at a strict proxy a nonce has one request at a time; the one used last is used
// next, since it is the youngest.
func TestDigestStrict(t *testing.T) {
	session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
	r := overtaken(t, session, `realm="r", nonce="a", qop="auth"`)
	require.True(t, r.Own)

	nobody, _ := nonceOf(t, talk(t, r.Next))
	require.Empty(t, nobody, "the proxy is asked for a nonce: that one is another's")
	one := own(t, r.Next)
	nonce, nc := nonceOf(t, one)
	require.Equal(t, []string{"a", "00000001"}, []string{nonce, nc})

	// Another request has got no nonce, and is challenged.
	waiting := talk(t, session)
	nobody, _ = nonceOf(t, waiting)
	require.Empty(t, nobody)
	require.Nil(t, passed(t, waiting, `nextnonce="x"`), "nothing was proved")
	asked := challenged(t, waiting, `realm="r", nonce="b", qop="auth"`)
	two := own(t, asked.Next)
	sent(t, two)
	asked.Next = nil
	require.Equal(t, scheme.Reading{}, asked)

	require.Nil(t, passed(t, one, ""))
	require.Nil(t, passed(t, two, ""))
	var used []string
	for range 3 {
		nonce, nc := nonceOf(t, talk(t, session))
		used = append(used, nonce+nc)
	}
	require.Equal(t, []string{"b00000002", "a00000002", ""}, used)
}

// R13: a nextnonce is for all requests, or at a strict proxy for the next one.
func TestDigestNextNonce(t *testing.T) {
	session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
	one := talk(t, session)
	sent(t, one)
	require.Nil(t, passed(t, one, ""), "the nonce stays")
	one = talk(t, session)
	sent(t, one)
	after := passed(t, one, `nextnonce="m"`)
	require.Equal(t, session.Nature(), after.Nature())
	require.False(t, after.Used())
	nonce, nc := nonceOf(t, talk(t, after))
	require.Equal(t, []string{"m", "00000001"}, []string{nonce, nc})

	strict := overtaken(t, begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`), `realm="r", nonce="a", qop="auth"`).Next
	one = own(t, strict)
	sent(t, one)
	require.Nil(t, passed(t, one, `nextnonce="b"`))
	nonce, nc = nonceOf(t, talk(t, strict))
	require.Equal(t, []string{"b", "00000001"}, []string{nonce, nc})
}

// R13, R41: a nextnonce counts until an answer is no success. Unless one was before, the last
// nonce that had one does again, whose count goes on. At a strict proxy another is asked for.
func TestDigestNextNonceUntilFailure(t *testing.T) {
	answered := func(talk scheme.Talk, status int, info string) scheme.Session {
		next, err := talk.Passed(reply(request(t, "GET", "http://origin.example/"), status, "", "Proxy-Authentication-Info: "+info), nil)
		require.NoError(t, err)
		return next
	}
	session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
	use := func(status int, info string, want ...string) {
		t.Helper()
		one := talk(t, session)
		nonce, nc := nonceOf(t, one)
		require.Equal(t, want, []string{nonce, nc})
		if next := answered(one, status, info); next != nil {
			session = next
		}
	}
	use(200, `nextnonce="a"`, "n", "00000001")
	use(304, `nextnonce="b"`, "a", "00000001")
	use(200, "", "b", "00000001")
	use(404, `nextnonce="c"`, "b", "00000002")
	use(500, `nextnonce="c"`, "b", "00000003")
	use(200, `nextnonce="d"`, "b", "00000004")
	use(400, "", "d", "00000001")
	use(400, "", "b", "00000005")
	use(200, "", "b", "00000006")

	strict := overtaken(t, begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`), `realm="r", nonce="a", qop="auth"`).Next
	one := own(t, strict)
	sent(t, one)
	require.Nil(t, answered(one, 200, `nextnonce="b"`))
	one = talk(t, strict)
	nonce, _ := nonceOf(t, one)
	require.Equal(t, "b", nonce)
	require.Nil(t, answered(one, 400, ""))
	nonce, _ = nonceOf(t, talk(t, strict))
	require.Empty(t, nonce, "the proxy is asked for a challenge")
}

// R13, R41: to a CONNECT only 2xx is a success.
func TestDigestNextNonceOfConnect(t *testing.T) {
	for status, want := range map[int]bool{200: true, 201: true, 302: false, 502: false} {
		conversation := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`).
			Talk(t.Context(), scheme.Peer{}, request(t, "CONNECT", "http://origin.example:443"), false)
		sent(t, conversation)
		next, err := conversation.Passed(reply(request(t, "CONNECT", "http://origin.example:443"), status, "", `Proxy-Authentication-Info: nextnonce="m"`), nil)
		require.NoError(t, err)
		require.Equal(t, want, next != nil, status)
	}
}

// R41: what answers would repeat is bounded, so that they stay shorter than any limit of
// a proxy. A weaker challenge that is not too long is answered instead.
func TestDigestLongChallenges(t *testing.T) {
	for _, name := range []string{"realm", "nonce", "opaque"} {
		params := map[string]string{"realm": "r", "nonce": "n", "opaque": "o"}
		text := func(size int) string {
			params[name] = strings.Repeat("x", size)
			return fmt.Sprintf(`Digest realm="%s", nonce="%s", opaque="%s", algorithm=SHA-256`, params["realm"], params["nonce"], params["opaque"])
		}
		sent(t, talk(t, begin(t, plainDigest, text(1024))))
		_, err := plainDigest.Begin(t.Context(), scheme.Proxy{}, offers(t, plainDigest, text(1025)), scheme.Credentials{Username: "alice"})
		require.ErrorContains(t, err, "longer than 1024 bytes")
		conversation := talk(t, begin(t, plainDigest, text(1025), `Digest realm="s", nonce="n", algorithm=MD5`))
		require.Equal(t, "s", sent(t, conversation).Get("realm"))
	}
}

// R13: what a strict proxy may have counted otherwise is not used again, but the nonce
// that it names is.
func TestDigestOutOfOrderIsNotKept(t *testing.T) {
	for info, want := range map[string]string{"": "", `nextnonce="b"`: "b"} {
		session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
		one, two := talk(t, session), talk(t, session)
		sent(t, one)
		sent(t, two)
		require.True(t, challenged(t, one, `realm="r", nonce="a", qop="auth"`).Own)
		require.Nil(t, passed(t, two, info))
		nonce, _ := nonceOf(t, talk(t, session))
		require.Equal(t, want, nonce)
	}
}

// R13: uses that were accepted one after the other were in order.
func TestDigestInOrder(t *testing.T) {
	session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
	for range 3 {
		conversation := talk(t, session)
		sent(t, conversation)
		passed(t, conversation, "")
	}
	conversation := talk(t, session)
	sent(t, conversation)
	r := challenged(t, conversation, `realm="r", nonce="m", qop="auth", stale=true`)
	require.False(t, r.Overtaken)
	require.False(t, r.Own)
}

// R37: Apache with AuthDigestNcCheck counts the uses of the opaque. It
// keeps that in a challenge to credentials, so the next challenge is got without.
func TestDigestCountByOpaque(t *testing.T) {
	const first = `Digest realm="r", nonce="n", opaque="o", qop="auth"`
	for name, test := range map[string]struct {
		bare string // the opaque of the challenge without credentials
		then string // the opaque of the next challenge to credentials
		asks bool   // the next one is got without credentials, too
	}{
		"another opaque, and it stays": {"p", "p", true},
		"a third opaque":               {"p", "q", true},
		"the same opaque":              {"o", "o", false},
		"the same, and then another":   {"o", "p", true},
		"none, and it had one":         {"", "o", true},
		"none, and then none":          {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			session := begin(t, plainDigest, first)
			r := overtaken(t, session, `realm="r", nonce="a", opaque="o", qop="auth"`)
			require.True(t, r.Own)
			require.False(t, r.Next.Used())
			conversation := own(t, r.Next)
			nonce, _ := nonceOf(t, conversation)
			require.Empty(t, nonce, "the proxy is asked for a challenge")

			opaque := func(value string) string {
				if value == "" {
					return ""
				}
				return `, opaque="` + value + `"`
			}
			r = challenged(t, conversation, `realm="r", nonce="b", qop="auth"`+opaque(test.bare))
			conversation = own(t, r.Next)
			nonce, _ = nonceOf(t, conversation)
			require.Equal(t, "b", nonce)
			r.Next = nil
			require.Equal(t, scheme.Reading{}, r)

			r = challenged(t, conversation, `realm="r", nonce="c", qop="auth", stale=true`+opaque(test.then))
			require.True(t, r.Own)
			nonce, _ = nonceOf(t, own(t, r.Next))
			if test.asks {
				require.Empty(t, nonce)
			} else {
				require.Equal(t, "c", nonce)
			}
		})
	}
}
