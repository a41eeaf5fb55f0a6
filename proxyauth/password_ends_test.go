package proxyauth_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// legsOf returns how many attempts a request makes whose credentials are refused
// after they have passed: by Digest a second one, with a nonce of its own.
func legsOf(scheme string) int {
	if scheme == "Digest" {
		return 2
	}
	return 1
}

// refusesAfter starts a proxy that takes its time to refuse wrong credentials, and
// five seconds for what is slow.
func (w *world) refusesAfter(d time.Duration, scheme string) *proxytest.Proxy {
	return w.newCrowdedProxy(proxytest.Config{Auth: waysIn[scheme].auth, Behaviour: proxytest.Behaviour{
		Refusal: proxytest.Answer{Delay: d},
		Access: func(leg proxytest.Leg) (a proxytest.Answer) {
			if strings.HasPrefix(leg.HostPort(), "slow") {
				a.Delay = 5 * time.Second
			}
			return a
		},
	}})
}

// R38: a password ends at night. In the morning 1,000 goroutines ask at once, and
// others after them; four requests at most find out before it is held, and the other
// requests are told when it is tried again.
func TestPasswordEndsAtNight(t *testing.T) {
	type morning struct {
		scheme, way string
		refusal     time.Duration
		targets     int
		goroutines  int
	}
	mornings := []morning{
		{"Basic", "tunnel", 10 * time.Millisecond, 40, 1000}, {"Basic", "tunnel", 250 * time.Millisecond, 40, 1000},
		{"Basic", "tunnel", 3 * time.Second, 1, 200}, {"Basic", "tunnel", 3 * time.Second, 2, 200},
		{"Basic", "forward", 3 * time.Second, 40, 1000}, {"NTLM", "forward", 3 * time.Second, 40, 1000},
	}
	for _, scheme := range byPassword {
		for _, way := range ways {
			mornings = append(mornings, morning{scheme, way, 3 * time.Second, 40, 200})
		}
	}
	for _, m := range mornings {
		t.Run(fmt.Sprintf("%s/%s/%s/%d/%d", m.scheme, m.way, m.refusal, m.targets, m.goroutines), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.refusesAfter(m.refusal, m.scheme)
				tr := w.newCrowdedTransport(p)
				require.NoError(t, reach(t.Context(), tr, m.way, "host.example"))
				time.Sleep(8 * time.Hour)
				p.SetUser("alice", "open wheat")
				p.Reset()
				c := &traffic{request: func(int) error {
					return reach(t.Context(), tr, m.way, fmt.Sprintf("host%d.example", rand.IntN(m.targets)))
				}}
				for range m.goroutines {
					c.begin()
				}
				c.every(500*time.Millisecond, 19*time.Second) // before it is tried again
				most := 4 * legsOf(m.scheme)
				assert.LessOrEqual(t, p.Attempts("alice"), most)
				t.Logf("%d attempts", p.Attempts("alice"))
				failed, _ := c.failed(t)
				assert.Equal(t, c.began, failed)
				assert.LessOrEqual(t, c.longest, 30*time.Second)
				assert.LessOrEqual(t, p.Attempts("alice"), most+legsOf(m.scheme))
				err := reach(t.Context(), tr, m.way, "host0.example")
				require.ErrorIs(t, err, proxyauth.ErrRejected)
				var told *proxyauth.AuthError
				require.ErrorAs(t, err, &told)
				assert.Greater(t, told.NextTry, time.Now())
				for _, e := range c.ended {
					assert.True(t, errors.Is(e.err, proxyauth.ErrRejected), "%v", e.err)
				}
			})
		})
	}
}

// R38: a password ends under load. What is on the wire by then is refused; once the
// first refusal was read one more attempt is made, or two if that meets the same
// target, and then tries after 20 s, 1 and 2 minutes. Requests that had passed before,
// and whose answers come late, reopen nothing.
func TestPasswordEndsUnderLoad(t *testing.T) {
	const ms, pace = time.Millisecond, 50 * time.Millisecond
	type load struct {
		scheme, way string
		refusal     time.Duration // no multiple of the pace
		targets     int
	}
	loads := []load{
		{"Basic", "tunnel", 13 * ms, 1}, {"Basic", "tunnel", 1003 * ms, 1}, {"Basic", "tunnel", 3003 * ms, 1}, {"Basic", "tunnel", 1003 * ms, 40},
	}
	for _, refusal := range []time.Duration{13 * ms, 3003 * ms} {
		loads = append(loads,
			load{"Basic", "tunnel", refusal, 40}, load{"Basic", "forward", refusal, 40},
			load{"NTLM", "tunnel", refusal, 40}, load{"NTLM inside Negotiate", "tunnel", refusal, 40})
	}
	loads = append(loads, load{"Digest", "tunnel", 13 * ms, 40}, load{"Digest", "forward", 13 * ms, 40})
	for _, l := range loads {
		t.Run(fmt.Sprintf("%s/%s/%s/%d", l.scheme, l.way, l.refusal, l.targets), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.refusesAfter(l.refusal, l.scheme)
				tr := w.newCrowdedTransport(p)
				refused := make(chan int, 1) // how many attempts there were when the first refusal was read
				c := &traffic{request: func(n int) error {
					host := fmt.Sprintf("host%d.example", n%l.targets)
					if n%10 == 9 {
						host = "slow.example"
					}
					err := reach(t.Context(), tr, l.way, host)
					if err != nil {
						select {
						case refused <- p.Attempts("alice"):
						default:
						}
					}
					return err
				}}
				c.every(pace, 2*time.Second)
				p.SetUser("alice", "open wheat")
				c.every(pace, 8*time.Second)
				require.Len(t, refused, 1)
				when := <-refused
				soon := p.Attempts("alice") - when
				c.every(2*time.Second, 4*time.Minute)
				c.all.Wait()
				tries := p.Attempts("alice") - when - soon
				assert.LessOrEqual(t, soon, 2*legsOf(l.scheme))
				assert.Equal(t, 3*legsOf(l.scheme), tries)
				t.Logf("%d since the first refusal, %d more in four minutes", soon, tries)
			})
		})
	}
}
