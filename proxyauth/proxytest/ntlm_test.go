package proxytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of MS-NLMP, section 4.2.4.
func TestNTLMVectors(t *testing.T) {
	nonce := [8]byte(unhex(t, "0123456789abcdef"))
	pairs := []avPair{{avDomain, encodeUTF16("Domain")}, {avComputer, encodeUTF16("Server")}}
	info := appendPairs(nil, pairs)
	want(t, "target info", hex.EncodeToString(info), "02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000")
	blob := slices.Concat(unhex(t, "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"), info, make([]byte, 4))
	key := responseKey("User", "Domain", "Password")
	want(t, "ResponseKeyNT", hex.EncodeToString(key), "0c868a403bfd7a93a3001ef22ef02e3f")
	proof := ntProof(key, nonce, blob)
	want(t, "NTProofStr", hex.EncodeToString(proof), "68cd0ab851e51c96aabc927bebef6a1c")
	sessionKey := hmacMD5(key, proof)
	want(t, "SessionBaseKey", hex.EncodeToString(sessionKey), "8de40ccadbc14a82f15cb0ad0de95ca3")
	encrypted := rc4Once(sessionKey, bytes.Repeat([]byte{0x55}, 16))
	want(t, "EncryptedRandomSessionKey", hex.EncodeToString(encrypted), "c5dad2544fc9799094ce1ce90bc9d03e")

	// The message of section 4.2.4.3, as a whole.
	message := slices.Concat([]byte(ntlmSignature), unhex(t, "03000000"+
		"180018006c000000"+"5400540084000000"+"0c000c0048000000"+"0800080054000000"+"100010005c000000"+"10001000d8000000"+
		"358288e2"+"0501280a0000000f"),
		encodeUTF16("Domain"), encodeUTF16("User"), encodeUTF16("COMPUTER"),
		unhex(t, "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"), proof, blob, encrypted)
	a, err := readAuthenticate(message)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, Config{Users: map[string]string{"User": "Password"}})
	n := NTLM{}.start(p, p.accounts).(*ntlm)
	h := &handshake{flags: 0xe28a8233, nonce: nonce, pairs: pairs}
	want(t, "verdict", fmt.Sprintf("%+v", n.judge(h, a)), fmt.Sprintf("%+v", verdict{outcome: accepted, user: "User"}))
	p.SetUser("User", "password")
	want(t, "outcome for another password", n.judge(h, a).outcome, wrong)
	h.flags &^= ntlmKeyExchange
	want(t, "outcome without a key exchange", n.judge(h, a).outcome, malformed)
}

// The vector of Microsoft's "NTLM and Channel Binding Hash" (Open
// Specifications blog, 26 March 2013).
func TestChannelBinding(t *testing.T) {
	hash := [sha256.Size]byte(unhex(t, "ea05fefecc6b0bd571dbbc5baa3ed45386d0446835f7b74c85621b9983475f95"))
	want(t, "MsvAvChannelBindings", hex.EncodeToString(channelBinding(hash)), "6586e99d81c2fc984e47172fd4dd0310")
}

// ntlmClient makes handshakes on one connection.
type ntlmClient struct {
	*raw
	line               string
	fields             []string // sent with each request
	user, domain, pass string

	flags   uint32   // of the type 1
	extra   []avPair // put in the response, before those of the type 2
	mic     bool
	badMIC  bool
	lacking bool // the response lacks the pairs of the type 2

	type1, type2 []byte
}

const ntlmOffer = ntlmUnicode | ntlmRequestTarget | ntlmNTLM | ntlmAlwaysSign | ntlmExtendedSecurity

func newNTLMClient(t *testing.T, p *Proxy, line string) *ntlmClient {
	t.Helper()
	return &ntlmClient{raw: dialRaw(t, p), line: line, user: "alice", domain: "CORP", pass: "secret", flags: ntlmOffer}
}

// ask sends the request with a message, or without if that is nil.
func (c *ntlmClient) ask(message []byte) (*http.Response, string) {
	c.t.Helper()
	fields := c.fields
	if message != nil {
		fields = append(slices.Clip(fields), "Proxy-Authorization: NTLM "+base64.StdEncoding.EncodeToString(message))
	}
	return c.do(c.line, fields...)
}

// status asks, and checks the answer and that a 407 has a bare challenge.
func (c *ntlmClient) status(message []byte, code int) {
	c.t.Helper()
	resp, body := c.ask(message)
	if resp.StatusCode != code {
		c.t.Errorf("got %d %q, want %d", resp.StatusCode, body, code)
	}
	want(c.t, "bare challenge", slices.Contains(resp.Header["Proxy-Authenticate"], "NTLM"), code == 407)
}

// negotiate makes a type 1 message.
func (c *ntlmClient) negotiate() []byte {
	m := append([]byte(ntlmSignature), 1, 0, 0, 0)
	m = binary.LittleEndian.AppendUint32(m, c.flags)
	return append(m, make([]byte, 16)...)
}

// begin sends a type 1 message and takes the type 2.
func (c *ntlmClient) begin() *http.Response {
	c.t.Helper()
	c.type1 = c.negotiate()
	resp, _ := c.ask(c.type1)
	c.take(resp)
	return resp
}

func (c *ntlmClient) take(resp *http.Response) {
	c.t.Helper()
	want(c.t, "status for a type 1", resp.StatusCode, 407)
	fields := resp.Header["Proxy-Authenticate"]
	if len(fields) != 1 || !strings.HasPrefix(fields[0], "NTLM ") {
		c.t.Fatalf("the challenge is %q", fields)
	}
	m, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[0], "NTLM "))
	if err != nil || !bytes.HasPrefix(m, []byte(ntlmSignature+"\x02\x00\x00\x00")) {
		c.t.Fatalf("the challenge is %q", fields)
	}
	c.type2 = m
}

func (c *ntlmClient) challengeFlags() uint32 { return binary.LittleEndian.Uint32(c.type2[20:]) }

// info returns the target info of the type 2, in order.
func (c *ntlmClient) info() []avPair {
	length, offset := binary.LittleEndian.Uint16(c.type2[40:]), binary.LittleEndian.Uint32(c.type2[44:])
	var pairs []avPair
	for b := c.type2[offset : offset+uint32(length)]; len(b) > 4; {
		n := 4 + binary.LittleEndian.Uint16(b[2:])
		pairs = append(pairs, avPair{binary.LittleEndian.Uint16(b), b[4:n]})
		b = b[n:]
	}
	return pairs
}

// authenticate makes a type 3 message for the type 2.
func (c *ntlmClient) authenticate() []byte {
	pairs := slices.Clone(c.extra)
	if c.mic {
		pairs = append(pairs, avPair{avFlags, []byte{avFlagMIC, 0, 0, 0}})
	}
	if !c.lacking {
		pairs = append(pairs, c.info()...)
	}
	blob := slices.Concat([]byte{1, 1, 0, 0, 0, 0, 0, 0}, fileTime(time.Now()), []byte("12345678"), make([]byte, 4),
		appendPairs(nil, pairs), make([]byte, 4))
	key := responseKey(c.user, c.domain, c.pass)
	proof := ntProof(key, [8]byte(c.type2[24:32]), blob)
	sessionKey := hmacMD5(key, proof)
	var encrypted []byte
	if c.challengeFlags()&ntlmKeyExchange != 0 {
		random := []byte("0123456789abcdef")
		encrypted = rc4Once(sessionKey, random)
		sessionKey = random
	}
	m := authenticateMessage(c.challengeFlags(), make([]byte, 24), append(proof, blob...),
		encodeUTF16(c.domain), encodeUTF16(c.user), nil, encrypted)
	if c.mic {
		copy(m[72:], hmacMD5(sessionKey, c.type1, c.type2, m))
	}
	if c.badMIC {
		m[72] ^= 1
	}
	return m
}

// authenticateMessage puts a type 3 message together, with room for a MIC.
func authenticateMessage(flags uint32, payloads ...[]byte) []byte {
	const header = 88
	m := append([]byte(ntlmSignature), 3, 0, 0, 0)
	offset := header
	for _, payload := range payloads {
		m = appendDescriptor(m, len(payload), offset)
		offset += len(payload)
	}
	m = binary.LittleEndian.AppendUint32(m, flags)
	m = append(m, make([]byte, header-len(m))...)
	return append(m, slices.Concat(payloads...)...)
}

// handshake makes one, and checks how it ends.
func (c *ntlmClient) handshake(code int) {
	c.t.Helper()
	c.begin()
	c.status(c.authenticate(), code)
}

// newNTLM starts a proxy, and an origin, and dials it for a client.
func newNTLM(t *testing.T, n NTLM) (*Proxy, *ntlmClient) {
	t.Helper()
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{n}, Users: users})
	return p, newNTLMClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
}

func TestNTLM(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{NTLM{}, Basic{Realm: "r"}}, Users: users})
	c := newNTLMClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
	resp, _ := c.ask(nil)
	want(t, "challenges", fmt.Sprint(resp.Header["Proxy-Authenticate"]), `[NTLM Basic realm="r"]`)
	c.handshake(200)
	c.status(nil, 200)
	c.line = strings.Replace(c.line, "GET", "HEAD", 1)
	c.status(nil, 200)
	legs := p.Transcript()
	for i, user := range []string{"", "", "alice", "alice", "alice"} {
		want(t, fmt.Sprintf("user of leg %d", i), legs[i].User, user)
	}
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 5, Challenges: 2, Handshakes: 1})
	want(t, "attempts", p.Attempts("alice"), 1)

	// Another connection is not authenticated, and a user removed stays on
	// one that is.
	newNTLMClient(t, p, c.line).status(nil, 407)
	p.RemoveUser("alice")
	c.status(nil, 200)

	// Credentials of another scheme are judged for themselves.
	resp, _ = c.do(c.line, "Proxy-Authorization: "+basicCredentials("bob", "wrong"))
	want(t, "wrong for Basic", resp.StatusCode, 407)
	resp, _ = c.do(c.line, "Proxy-Authorization: "+basicCredentials("bob", "sesame"))
	want(t, "right for Basic", resp.StatusCode, 200)
	c.status(nil, 200)
	legs = p.Transcript()
	want(t, "user", legs[len(legs)-2].User, "bob")
	want(t, "user", legs[len(legs)-1].User, "alice")
}

func TestNTLMOrder(t *testing.T) {
	p, c := newNTLM(t, NTLM{NoTimestamp: true}) // so that challenges differ in their nonce only
	seen := func(attempts, refused int) {
		t.Helper()
		want(t, "attempts", p.Attempts("alice"), attempts)
		want(t, "refused", p.Refused("alice"), refused)
	}
	c.begin()
	first := c.authenticate()
	newNTLMClient(t, p, c.line).status(first, 407) // on another connection
	seen(1, 0)
	c.status(nil, 407)   // between type 1 and type 3
	c.status(first, 407) // and so too late
	seen(2, 0)
	c.begin()
	c.status(first, 407) // for another challenge
	seen(3, 1)
	c.status(c.authenticate(), 407) // a second type 3
	seen(4, 1)
	c.begin()
	c.handshake(200) // a second type 1
	seen(5, 1)
	c.begin() // on an authenticated connection
	c.status(nil, 407)
	c.handshake(200)
	seen(6, 1)
	c.status(c.authenticate(), 407) // a second type 3
	c.status(nil, 407)
	seen(7, 1)
	want(t, "handshakes", p.Counts().Handshakes, 6)
}

func TestNTLMRefused(t *testing.T) {
	p, c := newNTLM(t, NTLM{})
	c.pass = "Secret"
	c.handshake(407)
	c.status(nil, 407)
	want(t, "refused", p.Refused("alice"), 1)
	c.user = "carol"
	c.handshake(407)
	want(t, "refused", p.Refused("carol"), 1)

	// NTLMv1, with and without session security, and nobody.
	c.user, c.pass = "alice", "secret"
	for _, response := range [][]byte{make([]byte, 24), nil} {
		c.begin()
		c.status(authenticateMessage(c.challengeFlags(), make([]byte, 24), response,
			encodeUTF16(c.domain), encodeUTF16(c.user), nil, nil), 407)
	}
	want(t, "refused", p.Refused("alice"), 3)
	c.handshake(200)
}

func TestNTLMUsers(t *testing.T) {
	p, c := newNTLM(t, NTLM{})
	p.SetUser(`CORP\carol`, "of corp")
	p.SetUser("carol", "of any")
	p.SetUser("dave@EXAMPLE.ORG", "upn")
	p.SetUser("Jörg", "пароль 🔑")
	for _, test := range []struct {
		user, domain, pass string
		key                string // "": refused
	}{
		{"alice", "", "secret", "alice"},
		{"alice", "WHATEVER", "secret", "alice"},
		{"Alice", "", "secret", ""},
		{"carol", "CORP", "of corp", `CORP\carol`},
		{"carol", "corp", "of corp", `CORP\carol`},
		{"carol", "CORP", "of any", ""},
		{"carol", "OTHER", "of any", "carol"},
		{`CORP\carol`, "", "of corp", ""},
		{"carol@CORP", "", "of corp", ""},
		{"dave@EXAMPLE.ORG", "", "upn", "dave@EXAMPLE.ORG"},
		{"dave@example.org", "", "upn", "dave@EXAMPLE.ORG"},
		{"dave@EXAMPLE.ORG", "CORP", "upn", ""},
		{"dave", "example.org", "upn", "dave@EXAMPLE.ORG"},
		{"dave", "", "upn", ""},
		{"Jörg", "TESTDOM", "пароль 🔑", "Jörg"},
		{"", "", "", ""},
	} {
		c.user, c.domain, c.pass = test.user, test.domain, test.pass
		p.Reset()
		if test.key == "" {
			c.handshake(407)
			continue
		}
		c.handshake(200)
		want(t, test.user+" of "+test.domain, p.Transcript()[1].User, test.key)
		want(t, "attempts of "+test.key, p.Attempts(test.key), 1)
	}
}

func TestNTLMChallenge(t *testing.T) {
	const keys = ntlm128 | ntlm56 | ntlmKeyExchange | ntlmSign | ntlmSeal
	for name, test := range map[string]struct {
		ntlm    NTLM
		offer   uint32
		flags   uint32
		domain  string
		numbers string // of the AV pairs
	}{
		"default":              {NTLM{}, ntlmOffer, ntlmOffer | ntlmTargetDomain | ntlmTargetInfo, "TESTDOM", "2 1 7"},
		"all":                  {NTLM{Domain: "D"}, ntlmOffer | keys, ntlmOffer | ntlmTargetDomain | ntlmTargetInfo | keys, "D", "2 1 7"},
		"OEM":                  {NTLM{}, ntlmOEM, ntlmUnicode | ntlmRequestTarget | ntlmNTLM | ntlmTargetDomain | ntlmTargetInfo, "TESTDOM", "2 1 7"},
		"no timestamp":         {NTLM{NoTimestamp: true}, ntlmOffer, ntlmOffer | ntlmTargetDomain | ntlmTargetInfo, "TESTDOM", "2 1"},
		"no target info":       {NTLM{NoTargetInfo: true}, ntlmOffer, ntlmOffer | ntlmTargetDomain, "TESTDOM", ""},
		"no extended security": {NTLM{NoExtendedSecurity: true}, ntlmOffer, ntlmOffer&^ntlmExtendedSecurity | ntlmTargetDomain | ntlmTargetInfo, "TESTDOM", "2 1 7"},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newNTLM(t, test.ntlm)
			c.flags = test.offer
			c.begin()
			want(t, "flags", fmt.Sprintf("%#x", c.challengeFlags()), fmt.Sprintf("%#x", test.flags))
			domain, _ := payload(c.type2, 12, 56)
			want(t, "target name", string(domain), string(encodeUTF16(test.domain)))
			var numbers []string
			for _, pair := range c.info() {
				numbers = append(numbers, fmt.Sprint(pair.id))
				switch pair.id {
				case avDomain:
					want(t, "domain", string(pair.value), string(domain))
				case avTimestamp:
					unix := int64(binary.LittleEndian.Uint64(pair.value)/10_000_000) - 11_644_473_600
					if age := time.Now().Unix() - unix; age < 0 || age > 60 {
						t.Errorf("the timestamp is %d s old", age)
					}
				}
			}
			want(t, "AV pairs", strings.Join(numbers, " "), test.numbers)
			for _, mic := range []bool{false, true} {
				c.mic = mic
				c.handshake(200)
			}
		})
	}
}

func TestNTLMMIC(t *testing.T) {
	for _, required := range []bool{false, true} {
		for _, flags := range []uint32{ntlmOffer, ntlmOffer | ntlmKeyExchange} {
			p, c := newNTLM(t, NTLM{RequireMIC: required})
			c.flags = flags
			c.mic = true
			c.handshake(200)
			c.badMIC = true
			c.handshake(407)
			c.mic = false // and so neither announced nor looked at
			if required {
				c.handshake(407)
				want(t, "refused", p.Refused("alice"), 2)
			} else {
				c.handshake(200)
				want(t, "refused", p.Refused("alice"), 1)
			}
		}
	}
}

func TestNTLMTargetName(t *testing.T) {
	_, c := newNTLM(t, NTLM{RequireTargetName: true})
	for name, code := range map[string]int{"HTTP/127.0.0.1": 200, "http/127.0.0.1": 200, "HTTP/origin.example": 407, "HTTP/127.0.0.1:80": 407, "": 407} {
		c.extra = []avPair{{avTargetName, encodeUTF16(name)}}
		c.handshake(code)
	}
	c.extra = nil
	c.handshake(407)
}

func TestNTLMChannelBinding(t *testing.T) {
	origin := newOrigin(t)
	for _, required := range []bool{false, true} {
		p := NewTLS(Config{Auth: []Auth{NTLM{RequireChannelBinding: required}}, Users: users})
		defer p.Close()
		c := newNTLMClient(t, p, "CONNECT "+origin.Listener.Addr().String()+" HTTP/1.1")
		right := clientBinding(p)
		other := slices.Clone(right)
		other[15] ^= 1
		none := 200
		if required {
			none = 407
		}
		for _, test := range []struct {
			binding []byte
			code    int
		}{{other, 407}, {make([]byte, 16), none}, {nil, none}, {right, 200}} {
			if test.code == 200 {
				c.raw = dialRaw(t, p)
			}
			c.extra = nil
			if test.binding != nil {
				c.extra = []avPair{{avChannelBindings, test.binding}}
			}
			c.handshake(test.code)
		}
		c.send("GET / HTTP/1.0")
		_, body := c.receive("GET")
		want(t, "through the tunnel", body, "GET / ")
		c.Close()
	}

	// There is no channel without TLS.
	_, c := newNTLM(t, NTLM{})
	c.extra = []avPair{{avChannelBindings, bytes.Repeat([]byte{1}, 16)}}
	c.handshake(407)
	c.extra = []avPair{{avChannelBindings, make([]byte, 16)}}
	c.handshake(200)
	defer func() {
		if recover() == nil {
			t.Error("a channel binding is required without TLS")
		}
	}()
	New(Config{Auth: []Auth{NTLM{RequireChannelBinding: true}}})
}

// clientBinding is MsvAvChannelBindings as a client computes it that sees the
// certificate of the proxy.
func clientBinding(p *Proxy) []byte {
	return channelBinding(sha256.Sum256(p.Certificate().Raw))
}

func TestNTLMRechallenge(t *testing.T) {
	p, c := newNTLM(t, NTLM{RechallengeAfter: 2})
	for range 2 {
		c.handshake(200)
		c.status(nil, 200)
		c.status(nil, 200)
		c.status(nil, 407)
		c.status(nil, 407)
	}
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 12, Challenges: 6, Handshakes: 2})
}

func TestNTLMTunnel(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{NTLM{}}, Users: users})
	c := newNTLMClient(t, p, "CONNECT "+origin.Listener.Addr().String()+" HTTP/1.1")
	c.status(nil, 407)
	c.handshake(200)
	c.send("GET / HTTP/1.0")
	_, body := c.receive("GET")
	want(t, "through the tunnel", body, "GET / ")
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 3, Challenges: 2, Handshakes: 1, Tunnels: 1})
}

func TestNTLMAwkward(t *testing.T) {
	origin := newOrigin(t)
	start := func(b Behaviour) *ntlmClient {
		p := newProxy(t, Config{Auth: []Auth{NTLM{}, Basic{}}, Users: users, Behaviour: b})
		return newNTLMClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
	}
	for _, b := range []Behaviour{{CloseAfter407: true}, {CloseSilently407: true}} {
		c := start(b)
		c.status(nil, 407)
		c.ended()
		again := start(b)
		again.handshake(200)
		again.status(nil, 200)
		again.pass = "wrong"
		again.handshake(407)
		again.ended()
	}

	c := start(Behaviour{HTTP10: true})
	c.begin()
	c.ended()
	c = start(Behaviour{HTTP10: true})
	c.fields = []string{"Proxy-Connection: keep-alive"}
	resp := c.begin()
	want(t, "kept", resp.Header.Get("Proxy-Connection"), "keep-alive")
	c.status(c.authenticate(), 200)

	c = start(Behaviour{Challenges: []string{"Negotiate"}, OneField: true, RefuseWith: 403, Chunked407: true, Body407: 10_000})
	resp, _ = c.ask(nil)
	want(t, "challenges", resp.Header.Get("Proxy-Authenticate"), `Negotiate, NTLM, Basic realm=""`)
	c.handshake(200)
	c.pass = "wrong"
	c.handshake(403)
	resp, _ = c.ask(nil)
	want(t, "after 403", resp.StatusCode, 407)
}

func TestNTLMBodies(t *testing.T) {
	p, c := newNTLM(t, NTLM{})
	url := strings.Fields(c.line)[1]
	send := func(message []byte, body string, fields ...string) (*http.Response, string) {
		c.send("PUT "+url+" HTTP/1.1", append(fields, fmt.Sprintf("Content-Length: %d", len(body)),
			"Proxy-Authorization: NTLM "+base64.StdEncoding.EncodeToString(message))...)
		if len(fields) > 0 { // the answer comes, or 100, without the body
			head, err := c.br.Peek(12)
			if err != nil {
				t.Fatal(err)
			}
			if string(head) == "HTTP/1.1 100" {
				c.receive("PUT")
			}
		}
		c.write(body)
		return c.receive("PUT")
	}
	c.type1 = c.negotiate()
	for _, first := range []string{"", "the body"} {
		for _, fields := range [][]string{nil, {"Expect: 100-continue"}} {
			if first == "" && fields != nil {
				continue
			}
			p.Reset()
			resp, _ := send(c.type1, first, fields...)
			want(t, "closed", resp.Close, false)
			c.take(resp)
			_, body := send(c.authenticate(), "the body", fields...)
			want(t, "body", body, "PUT / the body")
			want(t, "body bytes", p.Counts().BodyBytes, int64(len(first)+len("the body")))
		}
	}
	want(t, "connections", p.Transcript()[1].Conn, 1)
}

func TestNTLMMalformed(t *testing.T) {
	_, c := newNTLM(t, NTLM{})
	for _, test := range []struct{ credentials, names string }{
		{"NTLM !", "base64"},
		{"NTLM TlRMTVNTUAAB=", "base64"},
		{"NTLM", "signature"},
		{"NTLM bm8gbWVzc2FnZQ==", "signature"},
	} {
		resp, body := c.do(c.line, "Proxy-Authorization: "+test.credentials)
		want(t, test.credentials, resp.StatusCode, 400)
		if !strings.Contains(body, test.names) {
			t.Errorf("%s: the answer does not name %s: %s", test.credentials, test.names, body)
		}
	}
	check := func(message []byte, names string) {
		t.Helper()
		resp, body := c.ask(message)
		want(t, names, resp.StatusCode, 400)
		if !strings.Contains(body, names) {
			t.Errorf("the answer does not name %s: %s", names, body)
		}
	}
	check([]byte(ntlmSignature+"\x02\x00\x00\x00"), "type 2 is not for a client")
	check([]byte(ntlmSignature+"\x04\x03\x02\x01"), "type 16909060 is not for a client")
	check([]byte(ntlmSignature+"\x03\x00\x00\x00"), "type 3: 12 bytes")
	check(c.negotiate()[:31], "type 1: 31 bytes")

	m := c.negotiate()
	m[12], m[13] = 0, 0
	check(m, "Unicode")
	m = c.negotiate()
	m[13] |= ntlmDomainSupplied >> 8
	copy(m[16:], []byte{1, 0, 1, 0, 32})
	check(m, "DomainName")
	check(append(m, "D"...)[:32], "DomainName")

	le := binary.LittleEndian
	c.mic = true
	c.flags |= ntlmKeyExchange
	c.begin()
	pairs := 88 + 24 + 16 + 28 // where the AV pairs begin, with MsvAvFlags
	for _, test := range []struct {
		names string
		spoil func(m []byte) []byte
	}{
		{"63 bytes", func(m []byte) []byte { return m[:63] }},
		{"LmChallengeResponse: 24 bytes at 88", func(m []byte) []byte { return m[:88] }},
		{"EncryptedRandomSessionKey", func(m []byte) []byte { return m[:len(m)-1] }},
		{"EncryptedRandomSessionKey has 15 bytes", func(m []byte) []byte { m[52]--; return m }},
		{"LmChallengeResponse has 23 bytes", func(m []byte) []byte { m[12]--; return m }},
		{"UserName", func(m []byte) []byte { le.PutUint32(m[40:], 63); return m }},
		{"UserName", func(m []byte) []byte { le.PutUint32(m[40:], 0xffffffff); return m }},
		{"UserName is not UTF-16", func(m []byte) []byte { m[36]--; return m }},
		{"DomainName is not UTF-16", func(m []byte) []byte { m[le.Uint32(m[32:])+1] = 0xd8; return m }},
		{"Unicode", func(m []byte) []byte { m[60] = ntlmOEM; return m }},
		{"NtChallengeResponse has 43 bytes", func(m []byte) []byte { le.PutUint16(m[20:], 43); return m }},
		{"version 1", func(m []byte) []byte { m[88+24+16] = 2; return m }},
		{"the AV pair 2 is cut", func(m []byte) []byte { m[pairs+8+3] = 0xff; return m }},
		{"the AV pairs have no end", func(m []byte) []byte { le.PutUint16(m[20:], 16+28); return m }},
		{"follows the end of the AV pairs", func(m []byte) []byte { m[pairs] = avEnd; return m }},
		{"MsvAvChannelBindings has 4 bytes", func(m []byte) []byte { m[pairs] = avChannelBindings; return m }},
		{"MsvAvTargetName is not UTF-16", func(m []byte) []byte { m[pairs], m[pairs+5] = avTargetName, 0xdc; return m }},
		{"the AV pair 7 occurs twice", func(m []byte) []byte { m[pairs] = avTimestamp; return m }},
		{"announces a MIC, but LmChallengeResponse", func(m []byte) []byte { le.PutUint32(m[16:], 64); return m }},
	} {
		check(test.spoil(c.authenticate()), test.names)
	}

	c.begin()
	m = c.authenticate()
	m[pairs+8+4] ^= 1 // in the name of the domain
	check(m, "AV pair 2 is not that of the type 2")
	c.begin()
	c.lacking = true
	check(c.authenticate(), "AV pair 2 is not that of the type 2")
	c.lacking, c.mic = false, false
	c.begin()
	c.extra = []avPair{{avFlags, nil}}
	check(c.authenticate(), "MsvAvFlags has 0 bytes")
	c.extra = nil
	c.flags &^= ntlmKeyExchange
	c.begin()
	m = c.authenticate()
	m[63] |= ntlmKeyExchange >> 24
	check(m, "EncryptedRandomSessionKey has 0 bytes")
	c.begin()
	le.PutUint16(m[52:], 16)
	le.PutUint32(m[56:], 88)
	check(m, "key exchange was not granted")
	c.handshake(200)
}

// FuzzNTLM shows the verifier one message after another in the middle of a
// handshake. As a MIC covers all of a message, it accepts no other than the
// one that is right.
func FuzzNTLM(f *testing.F) {
	p := New(Config{Users: users})
	f.Cleanup(p.Close)
	n := NTLM{RequireMIC: true}.start(p, p.accounts).(*ntlm)
	client := ntlmClient{user: "alice", domain: "CORP", pass: "secret", mic: true, flags: ntlmOffer | ntlmKeyExchange}
	client.type1 = client.negotiate()
	h, err := n.challenge(client.type1)
	if err != nil {
		f.Fatal(err)
	}
	client.type2 = h.challenge
	right := client.authenticate()
	f.Add(client.type1)
	f.Add(client.type2)
	f.Add(right)
	f.Fuzz(func(t *testing.T, message []byte) {
		c := &conn{p: p, state: map[scheme]any{n: &ntlmConn{handshake: h}}}
		v := n.verify(&exchange{c: c}, base64.StdEncoding.EncodeToString(message))
		if (v.outcome == accepted) != bytes.Equal(message, right) {
			t.Errorf("%x: %+v", message, v)
		}
		if _, ok := n.resume(c); ok != (v.outcome == accepted) {
			t.Errorf("%x: authenticated: %v", message, ok)
		}
	})
}
