package main

import (
	"context"
	"fmt"
	"time"

	azure "github.com/Azure/go-ntlmssp"
	icholy "github.com/icholy/digest"
	"github.com/jcmturner/gokrb5/v8/spnego"
	ldntlm "github.com/launchdarkly/go-ntlmssp"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A primitive is one step of a scheme, without a network.
type primitive struct {
	row, name string // ours is the first of a row
	step      func() error
}

func primitives(w *world, s scale) ([]*table, error) {
	t := &table{
		title: "Primitives",
		intro: "What a header costs. A next value is for a challenge that has been read before, a first value includes reading it.\n" +
			"NTLM is type 1 and type 3; ours names the target and binds the channel, and adds the MIC where the type 2 has a\n" +
			"timestamp, which the others do not. The Kerberos token is made from a ticket in a cache; ours asks for mutual\n" +
			"authentication and binds the channel, gokrb5's does neither.",
		head: []string{"", "contender", "time", "ns", "allocations"},
	}
	all, err := listPrimitives(w)
	if err != nil {
		return nil, err
	}
	for len(all) > 0 {
		row := all[0].row
		var runs []func() (time.Duration, error)
		var allocs []float64
		var names, cannot []string
		n := 0 // so many take s.iterations
		for len(all) > 0 && all[0].row == row {
			p := all[0]
			all = all[1:]
			if err := p.step(); err != nil {
				cannot = append(cannot, p.name)
				continue
			}
			for start := time.Now(); len(runs) == 0 && time.Since(start) < s.iterations; n++ {
				p.step()
			}
			run := func(n int) error {
				for range n {
					if err := p.step(); err != nil {
						return err
					}
				}
				return nil
			}
			const steps = 200
			a, err := allocations(func() error { return run(steps) }, steps)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", row, err)
			}
			allocs = append(allocs, a)
			names = append(names, p.name)
			runs = append(runs, timed(func() error { return run(n) }))
		}
		times, err := takeTurns(s.rounds, to(0), runs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row, err)
		}
		for i := range runs {
			t.add(row, names[i],
				t.faster(times.ratio(i, 0), row, names[i]),
				fmt.Sprint(times.median(i).Nanoseconds()/int64(n)),
				t.fewer(fmt.Sprintf("%.0f", allocs[i]), row+", allocations", names[i], allocs[i], allocs[0], 1))
		}
		for _, name := range cannot {
			t.add(row, name, "no", "–", "–")
		}
	}
	return []*table{t}, nil
}

func listPrimitives(w *world) ([]primitive, error) {
	var all []primitive
	for _, algorithm := range []string{"MD5", "SHA-256", "SHA-512-256", "MD5-sess"} {
		params := `realm="proxy test", nonce="abcdefghijklmnopqrstuvwx", qop="auth", algorithm=` + algorithm
		session := func() (*digest.Session, error) {
			p, err := digest.ParseParams(params)
			if err != nil {
				return nil, err
			}
			c, err := digest.ParseChallenge(p)
			if err != nil {
				return nil, err
			}
			return digest.NewSession(c, user, password, digest.Options{})
		}
		known, err := session()
		if err != nil {
			return nil, err
		}
		knownTheirs, theirsErr := icholy.ParseChallenge("Digest " + params)
		value := func(c *icholy.Challenge, n int) error {
			cred, err := icholy.Digest(c, icholy.Options{Method: "GET", URI: "/path?q=1", Count: n, Username: user, Password: password})
			if err == nil {
				_ = cred.String()
			}
			return err
		}
		count := 0
		all = append(all,
			primitive{"Digest " + algorithm + ", next value", "go-proxyauth", func() error {
				_, err := known.Authorize("GET", "/path?q=1", nil)
				return err
			}},
			primitive{"Digest " + algorithm + ", next value", "icholy/digest", func() error {
				if theirsErr != nil {
					return theirsErr
				}
				count++
				return value(knownTheirs, count)
			}},
			primitive{"Digest " + algorithm + ", first value", "go-proxyauth", func() error {
				s, err := session()
				if err == nil {
					_, err = s.Authorize("GET", "/path?q=1", nil)
				}
				return err
			}},
			primitive{"Digest " + algorithm + ", first value", "icholy/digest", func() error {
				c, err := icholy.ParseChallenge("Digest " + params)
				if err == nil {
					err = value(c, 1)
				}
				return err
			}})
	}
	// Once as many proxies send it, once with a timestamp, as Active Directory does.
	for _, timestamp := range []bool{false, true} {
		challenge, row := type2(timestamp), map[bool]string{false: "NTLM", true: "NTLM, timestamp"}[timestamp]
		all = append(all,
			primitive{row, "go-proxyauth", func() error {
				h := ntlm.New(user, password, ntlm.Options{TargetName: "HTTP/proxy.example", ChannelBinding: binding})
				if _, err := h.Next(nil); err != nil {
					return err
				}
				_, err := h.Next(challenge)
				return err
			}},
			primitive{row, "Azure/go-ntlmssp", func() error {
				if _, err := azure.NewNegotiateMessage("", ""); err != nil {
					return err
				}
				_, err := azure.NewAuthenticateMessage(challenge, user, password, nil)
				return err
			}},
			primitive{row, "launchdarkly/go-ntlmssp", func() error {
				if _, err := ldntlm.NewNegotiateMessage("", ""); err != nil {
					return err
				}
				_, err := ldntlm.ProcessChallenge(challenge, user, password)
				return err
			}})
	}
	return appendKerberos(all, w)
}

var binding = []byte("tls-server-end-point:0123456789abcdef0123456789abcdef")

// type2 is a type 2 message with a version and target info.
func type2(timestamp bool) []byte {
	pairs := "\x02\x00\x06\x00L\x00A\x00B\x00" + "\x01\x00\x06\x00D\x00C\x001\x00"
	if timestamp {
		pairs += "\x07\x00\x08\x00\x00\x80\x3e\xd5\xde\xb1\x9d\x01"
	}
	pairs += "\x00\x00\x00\x00"
	n := string([]byte{byte(len(pairs)), 0})
	return []byte("NTLMSSP\x00\x02\x00\x00\x00" + // MS-NLMP §2.2.1.2
		"\x00\x00\x00\x00\x38\x00\x00\x00" + "\x05\x82\x89\xa2" + "01234567" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		n + n + "\x38\x00\x00\x00" + "\x0a\x00\x63\x45\x00\x00\x00\x0f" + pairs)
}

func appendKerberos(all []primitive, w *world) ([]primitive, error) {
	st, p, err := w.site(kerberos, proxytest.New)
	if err != nil {
		return nil, err
	}
	p.Close()
	const spn = "HTTP/127.0.0.1"
	tickets := negotiate.NewClient(negotiate.Options{ConfigPath: st.krb5, CachePath: st.cache})
	theirs, err := gokrb5Login(st)
	if err != nil {
		return nil, err
	}
	return append(all,
		primitive{"Kerberos token", "go-proxyauth", func() error {
			ticket, err := tickets.Ticket(context.Background(), spn)
			if err == nil {
				_, _, err = negotiate.Kerberos(ticket, binding).Next(nil)
			}
			return err
		}},
		primitive{"Kerberos token", "jcmturner/gokrb5", func() error {
			ticket, key, err := theirs.GetServiceTicket(spn)
			if err != nil {
				return err
			}
			init, err := spnego.NewNegTokenInitKRB5(theirs, ticket, key)
			if err != nil {
				return err
			}
			token := spnego.SPNEGOToken{Init: true, NegTokenInit: init}
			_, err = token.Marshal()
			return err
		}}), nil
}
