package digest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func mustChallenge(t testing.TB, s string) Challenge {
	t.Helper()
	params, err := ParseParams(strings.Join(strings.Fields(s), " ")) // on one line
	require.NoError(t, err)
	c, err := ParseChallenge(params)
	require.NoError(t, err)
	return c
}

// answer returns the parameters of an answer, after checking its scheme.
func answer(t testing.TB, s *Session, method, uri string, body func() (io.ReadCloser, error)) Params {
	t.Helper()
	a, err := s.Authorize(method, uri, body)
	require.NoError(t, err)
	rest, ok := strings.CutPrefix(a.Value, "Digest ")
	require.True(t, ok, a.Value)
	params, err := ParseParams(rest)
	require.NoError(t, err, a.Value)
	return params
}

// R11, R12: the example of RFC 7616 §3.9.1, by both of its algorithms.
func TestRFC7616Section391(t *testing.T) {
	for _, test := range []struct{ algorithm, response string }{
		{"MD5", "8ca523f5e9506fed4657c9700eebdbec"},
		{"SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		c := mustChallenge(t, `realm="http-auth@example.org", qop="auth, auth-int", algorithm=`+test.algorithm+`,
			nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`)
		s, err := newSession(c, "Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", Options{})
		require.NoError(t, err)
		a, err := s.Authorize("GET", "/dir/index.html", nil)
		require.NoError(t, err)
		require.Equal(t, `Digest username="Mufasa", realm="http-auth@example.org", `+
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html", `+
			`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", nc=00000001, qop=auth, `+
			`response="`+test.response+`", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", `+
			`algorithm=`+test.algorithm, a.Value)
	}
}

// R11, R12: RFC 7616 §3.9.2 as corrected by erratum 4897: the printed values
// come from SHA-512 cut to 256 bits, which is not SHA-512/256.
func TestRFC7616Section392Erratum4897(t *testing.T) {
	c := mustChallenge(t, `realm="api@example.org", qop="auth", algorithm=SHA-512-256,
		nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS",
		charset=UTF-8, userhash=true`)
	s, err := newSession(c, "Jäsøn Doe", "Secret, or not?", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", Options{})
	require.NoError(t, err)
	p := answer(t, s, "GET", "/doe.json", nil)
	require.Equal(t, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", p.Get("username"))
	require.Equal(t, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", p.Get("response"))
	require.Equal(t, "true", p.Get("userhash"))
	_, star := p.Lookup("username*")
	require.False(t, star, "never username* beside userhash (RFC 7616 §3.4)")
}

// R11, R12: the example of RFC 2617 §3.5, which is also what curl and browsers
// are tested with.
func TestRFC2617Section35(t *testing.T) {
	c := mustChallenge(t, `realm="testrealm@host.com", qop="auth,auth-int",
		nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
	s, err := newSession(c, "Mufasa", "Circle Of Life", "0a4f113b", Options{})
	require.NoError(t, err)
	p := answer(t, s, "GET", "/dir/index.html", nil)
	require.Equal(t, "6629fae49393a05397450978507c4ef1", p.Get("response"))
	_, alg := p.Lookup("algorithm")
	require.False(t, alg, "absent in the challenge, absent in the answer")
}

// R11, R12: RFC 2069 §2.4 as corrected by its erratum 749.
func TestRFC2069(t *testing.T) {
	c := mustChallenge(t, `realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
	s, err := newSession(c, "Mufasa", "CircleOfLife", "unused", Options{})
	require.NoError(t, err)
	p := answer(t, s, "GET", "/dir/index.html", nil)
	require.Equal(t, "1949323746fe6a43ef61f9606e7febea", p.Get("response"))
	for _, name := range []string{"qop", "nc", "cnonce"} {
		_, ok := p.Lookup(name)
		require.False(t, ok, "%s belongs to qop", name)
	}
}

// R11: values computed with Python's hashlib from the formulas of RFC 7616 §3.4.
func TestSessionKeyAndBodyHash(t *testing.T) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("entity body")), nil }
	for _, test := range []struct{ algorithm, qop, response string }{
		{"MD5-sess", "auth", "a2c9204ed7988a47b0676b32f6f89b86"},
		{"SHA-256-sess", "auth", "6583105d3725353c557ce43a66dad0dca85cc8c7d7145897a3e1605d203bf705"},
		{"SHA-512-256-sess", "auth", "d4e9e50b83756fd0d23980871c8bbe1f0e6c6663b80f99df4856f0b9698272c7"},
		{"MD5", "auth-int", "007cb64fafeb8fe94382b3c2ac85f2f7"},
		{"MD5-sess", "", "424dea17ea6edfcb86b4428927348c5d"},
		{"SHA-512-256-sess", "auth-int", "fb1d81b288bd038d8abab8508496a0261c141e8b8c98e406c330a4ccfceb6c54"},
	} {
		c := mustChallenge(t, `realm="r", nonce="n", algorithm=`+test.algorithm+`, qop="`+test.qop+`"`)
		s, err := newSession(c, "u", "p", "c", Options{})
		require.NoError(t, err)
		p := answer(t, s, "POST", "/x", open)
		require.Equal(t, test.response, p.Get("response"), test.algorithm+" "+test.qop)
		require.Equal(t, "c", p.Get("cnonce"), "a -sess key and a qop need it")
	}
}

// R3, R11, R13: each nonce is counted from 1, and a -sess key is kept.
func TestNonceCountAndNext(t *testing.T) {
	c := mustChallenge(t, `realm="r\"\\", nonce="n", qop="auth", algorithm=MD5-sess`)
	s, err := NewSession(c, "u", "p", Options{})
	require.NoError(t, err)
	require.Equal(t, "00000001", answer(t, s, "GET", "/", nil).Get("nc"))
	second := answer(t, s, "GET", "/", nil)
	require.Equal(t, "00000002", second.Get("nc"))
	require.Equal(t, `r"\`, second.Get("realm"))

	next := s.Next(`m"`)
	p := answer(t, next, "GET", "/", nil)
	require.Equal(t, `m"`, p.Get("nonce"))
	require.Equal(t, "00000001", p.Get("nc"))
	require.Equal(t, s.key, next.key, "a -sess key stays (RFC 7616 §3.4.2)")
	require.Equal(t, second.Get("cnonce"), p.Get("cnonce"))
}

// R13, R16: many goroutines share a nonce and leave out no count.
func TestNonceCountHasNoGaps(t *testing.T) {
	s, err := NewSession(mustChallenge(t, `realm="r", nonce="n", qop=auth`), "u", "p", Options{})
	require.NoError(t, err)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				nc := answer(t, s, "GET", "/", nil).Get("nc")
				mu.Lock()
				seen[nc] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 400)
	require.True(t, seen["00000190"], "400 uses, the last is 0x190")
	require.Equal(t, "89abcdef", string(appendNC(nil, 0x89abcdef)))
}

// R13: a session knows which uses of its nonce a strict proxy may have
// seen out of order.
func TestOvertaken(t *testing.T) {
	s, err := NewSession(mustChallenge(t, `realm="r", nonce="n", qop=auth`), "u", "p", Options{})
	require.NoError(t, err)
	use := func() Answer {
		a, err := s.Authorize("GET", "/", nil)
		require.NoError(t, err)
		return a
	}
	first := use()
	require.False(t, s.Overtaken(first))
	second := use()
	require.True(t, s.Overtaken(first), "a later count is under way")
	require.True(t, s.Overtaken(second), "an earlier count is under way")
	s.Accepted()
	s.Accepted()
	require.False(t, s.Overtaken(use()))
	require.True(t, s.Overtaken(use()), "the one before was never replied to")
}

// R12: username* only where the name needs it and the peer knows it.
func TestUsernameForms(t *testing.T) {
	name := func(challenge, user string) (plain, star string) {
		s, err := NewSession(mustChallenge(t, `realm="r", nonce="n", qop=auth`+challenge), user, "p", Options{})
		require.NoError(t, err)
		p := answer(t, s, "GET", "/", nil)
		return p.Get("username"), p.Get("username*")
	}
	plain, star := name("", "jäsøn")
	require.Equal(t, []string{"jäsøn", ""}, []string{plain, star}, "before RFC 7616 there was no username*")
	plain, star = name(", charset=UTF-8", "jäsøn o/k")
	require.Equal(t, []string{"", "UTF-8''j%C3%A4s%C3%B8n%20o%2Fk"}, []string{plain, star})
	plain, star = name(", charset=UTF-8", "ja\u0308")
	require.Equal(t, []string{"", "UTF-8''j%C3%A4"}, []string{plain, star}, "NFC")
	plain, star = name(", charset=UTF-8", `a"b\c`)
	require.Equal(t, []string{`a"b\c`, ""}, []string{plain, star})
	plain, star = name(", charset=UTF-8", "\x80")
	require.Equal(t, []string{"", "UTF-8''%80"}, []string{plain, star}, "the first octet beyond ASCII")
}

// A control character in a user name is told before anything is sent.
func TestUsernameControlCharacters(t *testing.T) {
	c := mustChallenge(t, `realm="r", nonce="n"`)
	for _, name := range []string{"a\r\nb", "\x00", "\x1f", "a\x7f"} {
		_, err := NewSession(c, name, "p", Options{})
		require.ErrorContains(t, err, "control character", "%q", name)
	}
	for _, name := range []string{" a b ", "~", "\x80"} {
		_, err := NewSession(c, name, "p", Options{})
		require.NoError(t, err, "%q", name)
	}
}

// R6, R11: what cannot be answered, what is preferred, and what is strongest.
func TestChoice(t *testing.T) {
	_, err := NewSession(mustChallenge(t, `realm="r", nonce="n", algorithm=SHA3-512`), "u", "p", Options{})
	require.ErrorIs(t, err, ErrUnsupported)
	_, err = NewSession(mustChallenge(t, `realm="r", nonce="n", qop="auth-conf"`), "u", "p", Options{})
	require.ErrorIs(t, err, ErrUnsupported)

	both := mustChallenge(t, `realm="r", nonce="n", qop="auth-int,auth"`)
	s, err := NewSession(both, "u", "p", Options{})
	require.NoError(t, err)
	require.False(t, s.HashesBody())
	s, err = NewSession(both, "u", "p", Options{PreferAuthInt: true})
	require.NoError(t, err)
	require.True(t, s.HashesBody())

	require.Greater(t, mustChallenge(t, `realm="r", nonce="n", algorithm=sha-512-256-SESS`).Strength(),
		mustChallenge(t, `realm="r", nonce="n", algorithm=SHA-256`).Strength())
	require.Zero(t, mustChallenge(t, `realm="r", nonce="n", algorithm=x`).Strength())
	require.Zero(t, mustChallenge(t, `realm="r", nonce="n", qop=x`).Strength())
}

// body is a body that tells if it is closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

// R11: qop=auth-int takes the hash of a body that it opens and closes, and
// uses no nonce count for a body that cannot be read.
func TestBodyHash(t *testing.T) {
	s, err := NewSession(mustChallenge(t, `realm="r", nonce="n", qop=auth-int`), "u", "p", Options{})
	require.NoError(t, err)
	broken := errors.New("broken")
	_, err = s.Authorize("POST", "/", func() (io.ReadCloser, error) { return nil, nil })
	require.ErrorIs(t, err, ErrBodyNeeded)
	_, err = s.Authorize("POST", "/", func() (io.ReadCloser, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
	unreadable := &body{Reader: iotest.ErrReader(broken)}
	_, err = s.Authorize("POST", "/", func() (io.ReadCloser, error) { return unreadable, nil })
	require.ErrorIs(t, err, broken)
	require.True(t, unreadable.closed)

	empty := &body{Reader: strings.NewReader("")}
	p := answer(t, s, "POST", "/", func() (io.ReadCloser, error) { return empty, nil })
	require.Equal(t, "00000001", p.Get("nc"))
	require.True(t, empty.closed)
}

// R13: a nonce that was announced is known as such until it is accepted.
func TestAnnounced(t *testing.T) {
	s, err := NewSession(mustChallenge(t, `realm="r", nonce="n", qop=auth`), "u", "p", Options{})
	require.NoError(t, err)
	require.Equal(t, "n", s.Nonce())
	require.False(t, s.Announced(), "by a challenge of its own")
	next := s.Next("m")
	require.Equal(t, "m", next.Nonce())
	require.True(t, next.Announced())
	next.Accepted()
	require.False(t, next.Announced())
}

// R16: a nonce is as old as the time since it was received.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSession(mustChallenge(t, `realm="r", nonce="n"`), "u", "p", Options{})
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		require.Equal(t, 3*time.Second, s.Age())
		require.Zero(t, s.Next("m").Age())
	})
}

// Each session has a client nonce of its own, of more than 64 bits (RFC 7616
// §5.10).
func TestClientNonce(t *testing.T) {
	c := mustChallenge(t, `realm="r", nonce="n", qop=auth`)
	seen := map[string]bool{}
	for range 10 {
		s, err := NewSession(c, "u", "p", Options{})
		require.NoError(t, err)
		cnonce := answer(t, s, "GET", "/", nil).Get("cnonce")
		require.Len(t, cnonce, 24)
		seen[cnonce] = true
	}
	require.Len(t, seen, 10)
}

// R35: H(A1) is as good as the password.
func TestSessionPrintsNoSecret(t *testing.T) {
	s, err := NewSession(mustChallenge(t, `realm="r", nonce="n"`), "alice", "open sesame", Options{})
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, "digest.Session", fmt.Sprintf(verb, s))
	}
}
