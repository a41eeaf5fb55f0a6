package carrier

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy-Authorization is found in whatever case it stands in a header.
func TestAuthorization(t *testing.T) {
	header := func() http.Header {
		return http.Header{"Proxy-Authorization": {"a", "b"}, "PROXY-authorization": {"c"}, "Proxy-Authenticate": {"d"}, "Authorization": {"e"}}
	}
	other := http.Header{"Proxy-Authenticate": {"d"}, "Authorization": {"e"}}
	all := Authorization(header())
	slices.Sort(all)
	require.Equal(t, []string{"a", "b", "c"}, all)
	require.Nil(t, Authorization(other))
	require.Nil(t, Authorization(nil))

	h := header()
	SetAuthorization(h, []string{"x"})
	require.Equal(t, http.Header{"Proxy-Authorization": {"x"}, "Proxy-Authenticate": {"d"}, "Authorization": {"e"}}, h)

	req := &http.Request{Method: "GET", Header: header()}
	bare := WithoutAuthorization(req)
	require.Equal(t, &http.Request{Method: "GET", Header: other}, bare)
	require.Equal(t, header(), req.Header)
	require.Same(t, bare, WithoutAuthorization(bare))
}
