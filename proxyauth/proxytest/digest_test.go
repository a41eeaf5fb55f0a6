package proxytest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func hashWith(t *testing.T, name string) algorithm {
	t.Helper()
	a, ok := newAlgorithm(name)
	if !ok {
		t.Fatalf("no algorithm %s", name)
	}
	return a
}

// The vectors of RFC 7616, section 3.9, with erratum 4897.
func TestDigestVectors(t *testing.T) {
	const nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	for name, response := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		a := hashWith(t, name)
		secret := a.secret("Mufasa", "http-auth@example.org", "Circle of Life", "", "")
		want(t, name, a.proof(secret, nonce, "00000001", cnonce, "auth", "GET:/dir/index.html", ""), response)
	}

	a := hashWith(t, "SHA-512-256")
	want(t, "userhash", a.hash("Jäsøn Doe", "api@example.org"), "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b")
	secret := a.secret("Jäsøn Doe", "api@example.org", "Secret, or not?", "", "")
	want(t, "SHA-512-256", a.proof(secret, "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "00000001",
		"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "auth", "GET:/doe.json", ""),
		"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5")
}

// The vectors of RFC 2617, section 3.5, and of RFC 2069, section 2.4, with
// its erratum 749.
func TestOldDigestVectors(t *testing.T) {
	a := hashWith(t, "")
	secret := a.secret("Mufasa", "testrealm@host.com", "Circle Of Life", "", "")
	want(t, "RFC 2617", a.proof(secret, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "00000001", "0a4f113b", "auth", "GET:/dir/index.html", ""),
		"6629fae49393a05397450978507c4ef1")
	secret = a.secret("Mufasa", "testrealm@host.com", "CircleOfLife", "", "")
	want(t, "RFC 2069", a.proof(secret, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "", "", "", "GET:/dir/index.html", ""),
		"1949323746fe6a43ef61f9606e7febea")
}

// digestClient answers one challenge, time and again, with one request.
type digestClient struct {
	*raw
	line       string
	user, pass string
	cnonce     string
	nonce      string // of the challenge, or that announced
	first      string // nonce the session began with
	firstC     string // cnonce it began with
	nc         int
	challenge  map[string]param
	qop        string // of those offered; "": the challenge's

	body   string
	fields map[string]string // values replaced as they are, "" to leave one out
}

// newDigestClient asks for a challenge; the proxy has one scheme.
func newDigestClient(t *testing.T, p *Proxy, line string) *digestClient {
	t.Helper()
	return newDigestClientOn(dialRaw(t, p), line)
}

func newDigestClientOn(raw *raw, line string) *digestClient {
	t := raw.t
	t.Helper()
	c := &digestClient{raw: raw, line: line, user: "alice", pass: "secret", cnonce: "c1", firstC: "c1"}
	resp, _ := c.do(line)
	want(t, "status", resp.StatusCode, 407)
	c.take(resp)
	return c
}

// take begins a session with the first challenge of an answer.
func (c *digestClient) take(resp *http.Response) {
	c.t.Helper()
	params, err := parseParams(strings.TrimPrefix(resp.Header.Get("Proxy-Authenticate"), "Digest "))
	if err != nil {
		c.t.Fatal(err)
	}
	c.challenge, c.nc = params, 0
	c.nonce = params["nonce"].value
	c.first, c.firstC = c.nonce, c.cnonce
	if c.qop == "" {
		c.qop = params["qop"].value
	}
}

// next uses the nonce announced.
func (c *digestClient) next(resp *http.Response) {
	c.t.Helper()
	nonce := c.info(resp.Header)["nextnonce"].value
	if nonce == "" {
		c.t.Fatal("no nextnonce")
	}
	c.nonce, c.nc = nonce, 0
}

func (c *digestClient) info(h http.Header) map[string]param {
	c.t.Helper()
	params, err := parseParams(h.Get("Proxy-Authentication-Info"))
	if err != nil {
		c.t.Fatal(err)
	}
	return params
}

func (c *digestClient) algorithm() algorithm {
	return hashWith(c.t, c.challenge["algorithm"].value)
}

func (c *digestClient) secret() string {
	return c.algorithm().secret(c.user, c.challenge["realm"].value, c.pass, c.first, c.firstC)
}

// credentials counts a use of the nonce.
func (c *digestClient) credentials() string {
	c.nc++
	a, method := c.algorithm(), strings.Fields(c.line)[0]
	uri := strings.Fields(c.line)[1]
	nc := fmt.Sprintf("%08x", c.nc)
	response := a.proof(c.secret(), c.nonce, nc, c.cnonce, c.qop, method+":"+uri, a.hash(c.body))
	values := map[string]string{
		"username": quote(c.user), "realm": quote(c.challenge["realm"].value),
		"nonce": quote(c.nonce), "uri": quote(uri), "response": quote(response),
		"algorithm": c.challenge["algorithm"].value,
	}
	if opaque, ok := c.challenge["opaque"]; ok {
		values["opaque"] = quote(opaque.value)
	}
	if c.qop != "" {
		values["qop"], values["nc"], values["cnonce"] = c.qop, nc, quote(c.cnonce)
	}
	var list []string
	for name, value := range values {
		if v, ok := c.fields[name]; ok {
			value = v
		}
		if value != "" {
			list = append(list, name+"="+value)
		}
	}
	for name, value := range c.fields {
		if _, ok := values[name]; !ok {
			list = append(list, name+"="+value)
		}
	}
	return "Digest " + strings.Join(list, ", ")
}

// ask sends the request with credentials.
func (c *digestClient) ask() *http.Response {
	c.t.Helper()
	resp, _ := c.exchange()
	return resp
}

func (c *digestClient) exchange() (*http.Response, string) {
	c.t.Helper()
	c.write(c.line, "Proxy-Authorization: "+c.credentials(), fmt.Sprintf("Content-Length: %d", len(c.body)), "", c.body)
	return c.receive(strings.Fields(c.line)[0])
}

// status is that of the answer to the request with credentials.
func (c *digestClient) status(code int) {
	c.t.Helper()
	resp, body := c.exchange()
	if resp.StatusCode != code {
		c.t.Errorf("got %d %q, want %d", resp.StatusCode, body, code)
	}
}

func isStale(resp *http.Response) bool {
	return strings.Contains(resp.Header.Get("Proxy-Authenticate"), ", stale=true")
}

// newDigest starts a proxy, and an origin, and has a client ask for it.
func newDigest(t *testing.T, d Digest) (*Proxy, *digestClient) {
	t.Helper()
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{d}, Users: users})
	return p, newDigestClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
}

func TestDigestAlgorithms(t *testing.T) {
	for _, name := range []string{"", "MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"} {
		t.Run(name, func(t *testing.T) {
			d := Digest{Realm: "r", Opaque: "o"}
			if name != "" {
				d.Algorithms = []string{name}
			}
			p, c := newDigest(t, d)
			c.status(200)
			c.status(200)
			c.pass = "wrong"
			resp := c.ask()
			want(t, "wrong password", resp.StatusCode, 407)
			want(t, "stale", isStale(resp), false)
			want(t, "attempts", p.Attempts("alice"), 3)
			want(t, "refused", p.Refused("alice"), 1)
			want(t, "user", p.Transcript()[2].User, "alice")
		})
	}
}

func TestDigestSession(t *testing.T) {
	_, c := newDigest(t, Digest{Algorithms: []string{"SHA-256-sess"}, NextNonce: true})
	resp := c.ask()
	c.next(resp) // the session goes on
	c.cnonce = "c2"
	c.status(200)
	c.firstC = "c2" // as if it had begun anew
	c.status(407)
}

func TestDigestChallenge(t *testing.T) {
	p := newProxy(t, Config{Auth: []Auth{Digest{
		Realm: `a "b"`, Algorithms: []string{"SHA-256", "MD5"}, QOP: []string{"auth", "auth-int"},
		UserHash: true, UTF8: true, Opaque: "o",
	}}})
	resp, _ := dialRaw(t, p).do(anywhere)
	fields := resp.Header["Proxy-Authenticate"]
	want(t, "fields", len(fields), 2)
	params, err := parseParams(strings.TrimPrefix(fields[1], "Digest "))
	if err != nil {
		t.Fatal(err)
	}
	nonce := params["nonce"].value
	want(t, "challenge", fields[1],
		`Digest realm="a \"b\"", qop="auth, auth-int", algorithm=MD5, nonce="`+nonce+`", opaque="o", charset=UTF-8, userhash=true`)
	want(t, "nonces differ", strings.Contains(fields[0], nonce), false)
}

func TestDigestMisuse(t *testing.T) {
	for _, d := range []Digest{
		{Algorithms: []string{"MD4"}}, {QOP: []string{"auth-conf"}}, {Algorithms: []string{"MD5-sess"}, QOP: []string{}},
		{CountByOpaque: true, Opaque: "o"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is accepted", d)
				}
			}()
			d.start(nil, nil)
		}()
	}
}

func TestDigestRFC2069(t *testing.T) {
	p, c := newDigest(t, Digest{Realm: "r", QOP: []string{}, RspAuth: true, NonceUses: 2})
	resp := c.ask()
	want(t, "status", resp.StatusCode, 200)
	a := c.algorithm()
	uri := strings.Fields(c.line)[1]
	want(t, "info", resp.Header.Get("Proxy-Authentication-Info"), `rspauth="`+a.hash(c.secret(), c.nonce, a.hash("", uri))+`"`)
	c.status(200)
	resp = c.ask()
	want(t, "stale", isStale(resp), true)
	c.take(resp)
	c.fields = map[string]string{"cnonce": `"c"`}
	c.status(400)
	want(t, "refused", p.Refused("alice"), 0)
}

func TestDigestMalformed(t *testing.T) {
	d := Digest{Realm: "r", Algorithms: []string{"SHA-256"}, Opaque: "o"}
	_, c := newDigest(t, d)
	for name, values := range map[string][]string{
		"username":  {"alice", ""},
		"realm":     {"r", `"R"`, ""},
		"nonce":     {"x", ""},
		"uri":       {"x", ""},
		"response":  {"0123", `"0123"`, `"` + strings.Repeat("A", 64) + `"`, ""},
		"cnonce":    {"x", ""},
		"opaque":    {"o", `"O"`, ""},
		"algorithm": {`"SHA-256"`, "sha-256", "MD5", ""},
		"qop":       {`"auth"`, "auth-int", "AUTH", ""},
		"nc":        {`"00000001"`, "1", "0000000g", "0000000A", "+0000001", ""},
		"userhash":  {`"false"`, "true", "no"},
		"username*": {"UTF-8''alice"}, // beside username
		"NC":        {"00000001"},     // twice
	} {
		for _, value := range values {
			c.fields = map[string]string{name: value}
			resp, body := c.exchange()
			want(t, name+"="+value, resp.StatusCode, 400)
			if !strings.Contains(strings.ToLower(body), strings.ToLower(strings.Trim(name, "*"))) {
				t.Errorf("%s=%s: the answer does not name it: %s", name, value, body)
			}
		}
	}
	c.fields = nil
	c.status(200)
}

func TestDigestUserNames(t *testing.T) {
	p, c := newDigest(t, Digest{Realm: "r", Algorithms: []string{"SHA-512-256"}, UserHash: true, UTF8: true})
	p.SetUser("Jäsøn Doe", "secret")
	c.user = "Jäsøn Doe"
	c.status(200)
	c.fields = map[string]string{"username": "", "username*": "utf-8''J%C3%A4s%c3%b8n%20Doe"}
	c.status(200)
	c.fields["username*"] = "UTF-8''J\xc3\xa4s%C3%B8n%20Doe"
	c.status(400)
	c.fields["username*"] = "ISO-8859-1''J%E4s%F8n%20Doe"
	c.status(400)
	c.fields["userhash"] = "true"
	c.status(400)
	want(t, "attempts", p.Attempts("Jäsøn Doe"), 2)

	hashed := c.algorithm().hash("Jäsøn Doe", "r")
	c.fields = map[string]string{"username": quote(hashed), "userhash": "true"}
	c.status(200)
	want(t, "attempts", p.Attempts("Jäsøn Doe"), 3)
	p.RemoveUser("Jäsøn Doe")
	c.status(407)
	want(t, "refused", p.Refused(hashed), 1)
}

func TestDigestNonceUses(t *testing.T) {
	p, c := newDigest(t, Digest{Realm: "r", NonceUses: 2})
	c.status(200)
	c.status(200)
	resp := c.ask()
	want(t, "status", resp.StatusCode, 407)
	want(t, "stale", isStale(resp), true)
	c.pass = "wrong" // before stale
	resp = c.ask()
	want(t, "stale for a wrong password", isStale(resp), false)
	c.pass = "secret"
	c.take(resp)
	c.status(200)
	want(t, "attempts", p.Attempts("alice"), 5)
	want(t, "refused", p.Refused("alice"), 1)
}

func TestDigestOldNonces(t *testing.T) {
	inMemory(t, Config{Auth: []Auth{Digest{NonceLifetime: time.Hour}}, Users: users}, func(t *testing.T, p *Proxy, c *raw) {
		client := newDigestClientOn(c, "GET http://origin.example/ HTTP/1.1")
		time.Sleep(time.Hour)
		client.status(200)
		time.Sleep(time.Nanosecond) // longer than the nonce lasts
		want(t, "too old", isStale(client.ask()), true)
	})

	_, c := newDigest(t, Digest{})
	c.nonce = "invented"
	want(t, "unknown", isStale(c.ask()), true)

	_, c = newDigest(t, Digest{AlwaysStale: true})
	for range 3 {
		resp := c.ask()
		want(t, "always", isStale(resp), true)
		c.take(resp)
	}
}

func TestDigestNextNonce(t *testing.T) {
	_, c := newDigest(t, Digest{NonceUses: 3, NextNonce: true, StrictNC: true})
	want(t, "first of three", c.ask().Header.Get("Proxy-Authentication-Info"), "")
	c.next(c.ask())
	c.status(200)
	c.next(c.ask())
	c.status(200)

	_, c = newDigest(t, Digest{NextNonce: true, InfoInTrailer: true})
	resp := c.ask()
	want(t, "in the header", resp.Header.Get("Proxy-Authentication-Info"), "")
	want(t, "in the trailer", c.info(resp.Trailer)["nextnonce"].quoted, true)
	c.line = strings.Replace(c.line, "GET", "HEAD", 1)
	want(t, "in the header for HEAD", c.info(c.ask().Header)["nextnonce"].quoted, true)
}

func TestDigestNonceCounts(t *testing.T) {
	for _, test := range []struct {
		digest Digest
		nc     int
		status int
	}{
		{Digest{}, 1, 200},
		{Digest{}, 5, 200},
		{Digest{StrictNC: true}, 1, 407},
		{Digest{StrictNC: true}, 2, 200},
		{Digest{StrictNC: true}, 5, 200},
		{Digest{ExactNC: true}, 1, 407},
		{Digest{ExactNC: true}, 2, 200},
		{Digest{ExactNC: true}, 3, 407},
	} {
		p, c := newDigest(t, test.digest)
		c.status(200)
		c.nc = test.nc - 1
		resp := c.ask()
		want(t, fmt.Sprintf("%+v, nc=%d", test.digest, test.nc), resp.StatusCode, test.status)
		want(t, "stale", isStale(resp), false)
		want(t, "refused", p.Refused("alice"), 0)
	}
}

func TestDigestRspAuth(t *testing.T) {
	for _, qop := range []string{"auth", "auth-int"} {
		_, c := newDigest(t, Digest{Algorithms: []string{"MD5-sess"}, QOP: []string{qop}, RspAuth: true})
		resp, body := c.exchange()
		h := resp.Header
		if qop == "auth-int" {
			h = resp.Trailer
		}
		a, uri := c.algorithm(), strings.Fields(c.line)[1]
		proof := a.proof(c.secret(), c.nonce, "00000001", c.cnonce, qop, ":"+uri, a.hash(body))
		want(t, qop, h.Get("Proxy-Authentication-Info"), `rspauth="`+proof+`", qop=`+qop+`, cnonce="c1", nc=00000001`)
	}
	_, c := newDigest(t, Digest{BadRspAuth: true})
	a, uri := c.algorithm(), strings.Fields(c.line)[1]
	proof := c.info(c.ask().Header)["rspauth"].value
	want(t, "looks like a proof", len(proof), 32)
	want(t, "is one", proof == a.proof(c.secret(), c.nonce, "00000001", c.cnonce, "auth", ":"+uri, ""), false)
}

func TestDigestAuthInt(t *testing.T) {
	p, c := newDigest(t, Digest{QOP: []string{"auth-int"}})
	c.line = strings.Replace(c.line, "GET", "POST", 1)
	c.body = "content"
	resp, body := c.exchange()
	want(t, "status", resp.StatusCode, 200)
	want(t, "forwarded", body, "POST / content")
	want(t, "body bytes", p.Transcript()[1].BodyBytes, 7)

	credentials := c.credentials()
	c.write(c.line, "Proxy-Authorization: "+credentials, "Content-Length: 7", "", "altered")
	resp, _ = c.receive("POST")
	want(t, "altered", resp.StatusCode, 407)
}

func TestDigestConnect(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{Digest{QOP: []string{"auth-int"}, CheckURI: true, RspAuth: true, InfoInTrailer: true}}, Users: users})
	c := newDigestClient(t, p, "CONNECT "+origin.Listener.Addr().String()+" HTTP/1.1")
	c.fields = map[string]string{"uri": `"/"`}
	c.status(400)
	c.fields = nil
	resp := c.ask()
	want(t, "status", resp.StatusCode, 200)
	want(t, "proof", len(c.info(resp.Header)["rspauth"].value), 32)
	c.send("GET / HTTP/1.0")
	_, body := c.receive("GET")
	want(t, "through the tunnel", body, "GET / ")
}

func TestDigestCheckURI(t *testing.T) {
	_, c := newDigest(t, Digest{CheckURI: true})
	c.status(200)
	absolute := strings.Fields(c.line)[1]
	a := c.algorithm()
	for uri, status := range map[string]int{"/": 200, "*": 400, absolute + "x": 400} {
		response := a.proof(c.secret(), c.nonce, fmt.Sprintf("%08x", c.nc+1), c.cnonce, "auth", "GET:"+uri, "")
		c.fields = map[string]string{"uri": quote(uri), "response": quote(response)}
		c.status(status)
	}
}

func TestParseParams(t *testing.T) {
	params, err := parseParams(`A=b, c="d\"e\\, f=",g="" ,	h=i`)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "parameters", fmt.Sprint(params), `map[a:{b false} c:{d"e\, f= true} g:{ true} h:{i false}]`)
	for _, s := range []string{"", "a", "a=", "a =b", "a= b", "a=b,", "a=b,,c=d", ",a=b", "a=b c=d", `a="b`, `a="b\`, `a="b"c`, "a=b, A=c", "a=\"\x01\""} {
		if params, err := parseParams(s); err == nil {
			t.Errorf("%q is read as %v", s, params)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(`realm="r", nc=00000001`)
	f.Add("a=\"\\\x01\"")
	f.Fuzz(func(t *testing.T, s string) {
		params, err := parseParams(s)
		if err != nil {
			return
		}
		for name, p := range params {
			if value, rest, ok := unquote(quote(p.value)); value != p.value || rest != "" || !ok {
				t.Errorf("%s=%q comes back as %q", name, p.value, value)
			}
		}
	})
}
