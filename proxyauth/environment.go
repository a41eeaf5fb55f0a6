package proxyauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// FromEnvironment returns a Transport with proxies and credentials of the
// environment as it is now. Each mistake in the environment is an error of one line
// that names the variable, and never a secret; several are joined ([errors.Join]), and
// the Transport is nil then.
//
//   - HTTP_PROXY and HTTPS_PROXY are the proxies for http:// and https:// URLs:
//     "http://host:port", "https://…", "socks5://…", "socks5h://…", or
//     "host:port" for http://. [Transport.DialContext] takes that for https://.
//   - ALL_PROXY is the proxy where one of these is not set.
//   - NO_PROXY excludes hosts, separated by commas: a domain with all below it,
//     ".domain" without itself, an IP address, a network ("10.0.0.0/8"), each
//     but the last also with ":port"; "*" is all. localhost and loopback
//     addresses are always excluded.
//   - PROXY_USER and PROXY_PASS, or a file that PROXY_PASS_FILE names (see
//     [PasswordFile]; read again when it has changed), are the credentials for
//     proxies whose URL has no userinfo, except SOCKS. Nothing in them is
//     percent-encoded. Transport.Credentials, if it is set, takes their place.
//   - USE_PROXY=false switches proxies off; nothing else is then read. It is
//     true, false, yes, no, on, off, 1 or 0.
//
// The first four can be in lower case, too, which counts if both are set: these
// are the rules of [golang.org/x/net/http/httpproxy]. In a CGI program
// (REQUEST_METHOD is set) http:// requests by HTTP_PROXY fail, since a client
// of the server may have set it.
//
// The zero value of Transport leaves the proxies to net/http, which reads the
// environment once for the process, does not say what is wrong with it, prefers
// upper case (as of Go 1.26) and does not know ALL_PROXY and USE_PROXY.
func FromEnvironment() (*Transport, error) {
	v, err := env.ReadProxies()
	if err != nil {
		return nil, err
	}
	if v.Off {
		return &Transport{Proxy: http.ProxyURL(nil), variables: &v}, nil
	}
	environment := env.ReadCredentials()
	credentials := environmentCredentials(func() env.Credentials { return environment })
	if mistakes := append(v.Mistakes(), mistake(credentials)); errors.Join(mistakes...) != nil {
		return nil, errors.Join(mistakes...)
	}
	proxyFor := v.ProxyFunc()
	return &Transport{
		Proxy: func(req *http.Request) (*url.URL, error) {
			u, err := proxyFor(req.URL)
			if err != nil {
				err = fmt.Errorf("proxyauth: %w", err)
			}
			return u, err
		},
		environment: credentials,
		variables:   &v,
	}, nil
}
