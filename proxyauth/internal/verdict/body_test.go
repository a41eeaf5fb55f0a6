package verdict_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

var bodies = map[Body]string{
	Whole: "whole", Held: "held", Withheld: "withheld", Probe: "probe",
}

// R32: what of a body goes with each kind of leg: of one that can be sent again, and of
// a stream, which a 407 would lose.
func TestWhen(t *testing.T) {
	for _, row := range []struct {
		name          string
		leg           Sending
		again, stream Body
	}{
		// Without credentials.
		{"a 407 is likely: an OPTIONS goes ahead of a stream, since not every proxy knows Expect",
			Sending{Bare: true}, Held, Probe},
		{"an OPTIONS has passed, which does not say that the request will",
			Sending{Bare: true, Probed: true}, Held, Held},
		{"the caller's own credentials go with the request, and not with an OPTIONS",
			Sending{Bare: true, Own: true}, Held, Held},
		{"both",
			Sending{Bare: true, Own: true, Probed: true}, Held, Held},
		{"the target passes without credentials",
			Sending{Bare: true, Free: true}, Whole, Whole},
		{"the target has turned out to pass without credentials, after an OPTIONS",
			Sending{Bare: true, Free: true, Probed: true}, Whole, Whole},
		{"the target passes without credentials, and the caller has set some",
			Sending{Bare: true, Free: true, Own: true}, Whole, Whole},
		{"what OPTIONS told in handshakes does not matter without one",
			Sending{Bare: true, ProbesTell: true}, Held, Probe},

		// With credentials in each request.
		{"credentials that have never passed may be refused",
			Sending{Last: true}, Held, Held},
		{"the same by a scheme that may want a fresh challenge",
			Sending{Last: true, Expires: true}, Held, Held},
		{"credentials that have passed",
			Sending{Last: true, Trusted: true}, Whole, Whole},
		{"credentials that have passed, whose nonce may have become too old: a body can be sent again, a stream cannot",
			Sending{Last: true, Trusted: true, Expires: true}, Whole, Held},
		{"no credentials after all, to get a nonce: the answer is a 407",
			Sending{Trusted: true, Expires: true}, Held, Held},
		{"the same before any have passed",
			Sending{Expires: true}, Held, Held},
		{"credentials that have passed go with the request whatever else is set in it",
			Sending{Last: true, Trusted: true, Own: true}, Whole, Whole},
		{"the target has turned out to pass without credentials, but these may be refused there, too",
			Sending{Last: true, Free: true}, Held, Held},
		{"a handshake of another scheme has failed, since OPTIONS alone passes before it is done",
			Sending{Last: true, Exempt: true}, Held, Held},

		// With credentials of a connection.
		{"the handshake begins: the answer is a 407, but some proxies let everything pass",
			Sending{Connection: true}, Probe, Probe},
		{"the same with credentials that have passed",
			Sending{Connection: true, Trusted: true}, Probe, Probe},
		{"and where an OPTIONS has told before what becomes of the request",
			Sending{Connection: true, ProbesTell: true}, Probe, Probe},
		{"an OPTIONS has passed before the handshake was done, and the request after it has not",
			Sending{Connection: true, Exempt: true}, Withheld, Withheld},
		{"the same where others found that an OPTIONS tells",
			Sending{Connection: true, Exempt: true, ProbesTell: true}, Withheld, Withheld},
		{"the last leg of the handshake",
			Sending{Connection: true, Last: true}, Whole, Whole},
		{"the same after an OPTIONS had passed in an earlier handshake",
			Sending{Connection: true, Last: true, Exempt: true}, Whole, Whole},
		{"the connection is authenticated already, or it is the last leg of a handshake once more",
			Sending{Connection: true, Last: true, Trusted: true}, Whole, Whole},
		{"an OPTIONS has passed in the handshake, and nothing says that the request will",
			Sending{Connection: true, Last: true, Ready: true}, Held, Held},
		{"the same on the connection of credentials that have passed",
			Sending{Connection: true, Last: true, Ready: true, Trusted: true}, Held, Held},
		{"the same after the request did not pass on another connection",
			Sending{Connection: true, Last: true, Ready: true, Exempt: true}, Held, Held},
		{"an OPTIONS has passed in the handshake, and where one did so did the request",
			Sending{Connection: true, Last: true, Ready: true, ProbesTell: true}, Whole, Whole},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, bodies[row.again], bodies[When(row.leg)], "a body that can be sent again")
			row.leg.Stream = true
			require.Equal(t, bodies[row.stream], bodies[When(row.leg)], "a stream")
		})
	}
}
