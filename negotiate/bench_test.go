package negotiate

import (
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/stretchr/testify/require"
)

// BenchmarkToken is the cost of the first token on a connection, beside that of
// gokrb5's own SPNEGO client, which has neither mutual authentication nor
// channel binding.
func BenchmarkToken(b *testing.B) {
	const etype = etypeID.AES256_CTS_HMAC_SHA1_96
	ticket := newService(b, etype).ticket(b, etype, time.Now().Add(time.Hour))
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := Kerberos(ticket, []byte("tls-server-end-point:0123456789")).Next(nil)
			require.NoError(b, err)
		}
	})
	b.Run("gokrb5", func(b *testing.B) {
		cl := client.NewWithPassword("alice", realm, "", config.New())
		b.ReportAllocs()
		for b.Loop() {
			init, err := spnego.NewNegTokenInitKRB5(cl, ticket.ticket, ticket.key)
			require.NoError(b, err)
			token := spnego.SPNEGOToken{Init: true, NegTokenInit: init}
			_, err = token.Marshal()
			require.NoError(b, err)
		}
	})
}
