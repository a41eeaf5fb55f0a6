package proxytest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Requirement 38: wrong credentials are refused in other ways than by 407.
func TestRefusal(t *testing.T) {
	for name, test := range map[string]struct {
		behaviour  Behaviour
		status     int // 0: no answer
		challenged bool
		after      time.Duration
		err        error // of reading, instead of an answer
	}{
		"401":            {Behaviour{Refusal: Answer{Status: 401}}, 401, false, 0, nil},
		"403":            {Behaviour{Refusal: Answer{Status: 403}, RefuseWith: 401}, 403, false, 0, nil},
		"late":           {Behaviour{Refusal: Answer{Delay: 30 * time.Second}}, 407, true, 30 * time.Second, nil},
		"late 401":       {Behaviour{Refusal: Answer{Delay: time.Minute}, RefuseWith: 401}, 401, false, time.Minute, nil},
		"no challenge":   {Behaviour{Refusal: Answer{Challenges: []string{}}}, 407, false, 0, nil},
		"close":          {Behaviour{Refusal: Answer{Close: true}}, 0, false, 0, io.EOF},
		"reset":          {Behaviour{Refusal: Answer{Reset: true, Delay: time.Second}}, 0, false, time.Second, syscall.ECONNRESET},
		"never":          {Behaviour{Refusal: Answer{Never: true}}, 0, false, 0, nil},
		"by RefuseWith":  {Behaviour{RefuseWith: 403}, 403, false, 0, nil},
		"as ever by 407": {Behaviour{}, 407, true, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			eachScheme(t, Config{Behaviour: test.behaviour}, func(t *credentialsTest) {
				start := time.Now()
				c := t.send(false)
				synctest.Wait()
				want(t.T, "refused", t.p.Refused("alice"), 1)
				switch {
				case test.status != 0:
					resp := c.answer(t.line)
					want(t.T, "status", resp.StatusCode, test.status)
					want(t.T, "challenged", len(resp.Header["Proxy-Authenticate"]) == 1, test.challenged)
				case test.err != nil:
					if _, err := c.br.ReadByte(); !errors.Is(err, test.err) {
						t.Errorf("reading: %v, want %v", err, test.err)
					}
				default:
					c.SetReadDeadline(time.Now().Add(time.Hour))
					if _, err := c.br.ReadByte(); !isTimeout(err) {
						t.Errorf("reading: %v, want a timeout", err)
					}
					c.Close() // which ends the waiting
					synctest.Wait()
					want(t.T, "clients", t.p.clientCount(), 1) // that of inMemory
				}
				if test.status != 0 || test.err != nil {
					want(t.T, "after", time.Since(start).Round(time.Second), test.after)
				}
				legs := t.p.Transcript()
				want(t.T, "status in the transcript", legs[len(legs)-1].Status, test.status)
				t.status("right credentials", true, 200)
				want(t.T, "denied", t.p.Denied("alice"), 0)
			})
		})
	}
}

func (p *Proxy) clientCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.clients)
}

// A proxy that never answers can be closed, and reads what a client sends.
func TestNeverEnds(t *testing.T) {
	config := Config{
		Auth: []Auth{Basic{Realm: "r"}}, Users: users,
		Behaviour: Behaviour{Access: func(Leg) Answer { return Answer{Never: true} }},
	}
	credentials := "Proxy-Authorization: " + basicCredentials("alice", "secret")
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		c.write("POST http://origin.example/ HTTP/1.1", "Host: origin.example", credentials, "Content-Length: 300000", "", strings.Repeat("b", 300_000))
		c.write(strings.Repeat("more", 100_000))
		synctest.Wait()
		want(t, "body", p.Counts().BodyBytes, 300_000)
		waiting := dialRawBy(t, p, p.dialer)
		waiting.write("POST http://origin.example/ HTTP/1.1", "Host: origin.example", credentials, "Content-Length: 3", "Expect: 100-continue", "", "")
		synctest.Wait()
		want(t, "requests", p.Counts().Requests, 2)
		want(t, "denied", p.Denied("alice"), 2)
		p.Close()
		c.ended()
		waiting.ended() // and has seen no 100 (Continue)
	})
}

// Connections of TCP are reset, also below TLS; what cannot be reset is closed.
func TestReset(t *testing.T) {
	client, server := net.Pipe()
	reset(server)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("reading: %v, want %v", err, io.EOF)
	}
	answer := Answer{Reset: true}
	for name, p := range map[string]*Proxy{
		"TCP": New(Config{Behaviour: Behaviour{Access: func(Leg) Answer { return answer }}}),
		"TLS": NewTLS(Config{Behaviour: Behaviour{Access: func(Leg) Answer { return answer }}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(p.Close)
			c := dialRaw(t, p)
			c.send(forwarded)
			if _, err := http.ReadResponse(c.br, nil); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("reading: %v, want a reset", err)
			}
		})
	}
}

// A request whose body is on its way sees the connection close in good order.
func TestCloseAfterBody(t *testing.T) {
	config := Config{Behaviour: Behaviour{Access: func(Leg) Answer { return Answer{Close: true} }}}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		c.write("POST http://origin.example/ HTTP/1.1", "Host: origin.example", "Content-Length: 300000", "", strings.Repeat("b", 300_000))
		c.ended()
		want(t, "body", p.Counts().BodyBytes, 300_000)
	})
}
