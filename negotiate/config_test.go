package negotiate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// R23: a variable that is empty counts as not set: no error about a file that nobody
// named. (Where there is an /etc/krb5.conf that one is read.)
func TestEmptyConfigVariable(t *testing.T) {
	t.Setenv("KRB5_CONFIG", "")
	t.Setenv("KRB5CCNAME", "KEYRING:persistent:1000")
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	_, err := negotiate.NewClient(negotiate.Options{}).Ticket(t.Context(), "HTTP/proxy.example")
	require.ErrorContains(t, err, "KEYRING")
}
