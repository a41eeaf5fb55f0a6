package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	azure "github.com/Azure/go-ntlmssp"
	"github.com/aus/proxyplease"
	icholy "github.com/icholy/digest"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/spnego"
	launchdarkly "github.com/launchdarkly/go-ntlm-proxy-auth"
	mongodb "github.com/mongodb-forks/digest"
	mwitkow "github.com/mwitkow/go-http-dialer"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A contender gets, or does not get, through a proxy.
type contender struct {
	name   string
	module string
	told   bool // the scheme, by its settings or because it knows no other
	// client returns its client for a site. It may change base, and must use
	// it where it can.
	client func(s *site, base *http.Transport) (http.RoundTripper, error)
	// dial opens a tunnel; nil: it cannot.
	dial func(s *site) dialFunc
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

var (
	ours     = contender{"go-proxyauth", "", false, oursClient(false), oursDial(false)}
	oursTold = contender{"go-proxyauth, scheme set", "", true, oursClient(true), oursDial(true)}
	netHTTP  = contender{"net/http", "", true, netHTTPClient, nil}
	ldNTLM   = contender{"launchdarkly/go-ntlm-proxy-auth", "github.com/launchdarkly/go-ntlm-proxy-auth", true, dialing(ldDial), ldDial}
	please   = contender{"aus/proxyplease", "github.com/aus/proxyplease", false, pleaseClient, pleaseDial}
	dialer   = contender{"mwitkow/go-http-dialer", "github.com/mwitkow/go-http-dialer", true, dialing(mwitkowDial), mwitkowDial}
)

// The last ones are made for servers. They are here because people try them.
var contenders = []contender{
	ours, oursTold, netHTTP, ldNTLM, please, dialer,
	{"Azure/go-ntlmssp Negotiator (for servers)", "github.com/Azure/go-ntlmssp", true, azureClient, nil},
	{"icholy/digest Transport (for servers)", "github.com/icholy/digest", true, icholyClient, nil},
	{"mongodb-forks/digest Transport (for servers)", "github.com/mongodb-forks/digest", true, mongodbClient, nil},
	{"jcmturner/gokrb5 spnego.Client (for servers)", "github.com/jcmturner/gokrb5/v8", true, gokrb5Client, nil},
}

func oursTransport(s *site, base *http.Transport, told bool) *proxyauth.Transport {
	negotiate := proxyauth.Negotiate(proxyauth.NegotiateOptions{CachePath: s.cache, ConfigPath: s.krb5})
	t := &proxyauth.Transport{
		Base:        base,
		Credentials: proxyauth.UserPassword(user, password),
		Schemes:     []proxyauth.Scheme{negotiate, proxyauth.NTLM(), proxyauth.Digest(), proxyauth.Basic()}, // the default
	}
	if told {
		for _, sch := range t.Schemes {
			if sch.Name() == s.kind {
				t.Schemes = []proxyauth.Scheme{sch}
				break
			}
		}
	}
	return t
}

func oursClient(told bool) func(*site, *http.Transport) (http.RoundTripper, error) {
	return func(s *site, base *http.Transport) (http.RoundTripper, error) {
		return oursTransport(s, base, told), nil
	}
}

func oursDial(told bool) func(*site) dialFunc {
	return func(s *site) dialFunc { return oursTransport(s, s.base(), told).DialContext }
}

func netHTTPClient(s *site, base *http.Transport) (http.RoundTripper, error) {
	proxy := *s.proxy
	proxy.User = url.UserPassword(user, password)
	base.Proxy = http.ProxyURL(&proxy)
	return base, nil
}

// bare is net/http that sends no credentials.
func bare(_ *site, base *http.Transport) (http.RoundTripper, error) { return base, nil }

// dialing is for contenders that are dialers: net/http takes what they dial for
// the origin itself.
func dialing(dial func(*site) dialFunc) func(*site, *http.Transport) (http.RoundTripper, error) {
	return func(s *site, base *http.Transport) (http.RoundTripper, error) {
		base.Proxy, base.DialContext = nil, dial(s)
		return base, nil
	}
}

func ldDial(s *site) dialFunc {
	return launchdarkly.NewNTLMProxyDialContext(nil, *s.proxy, user, password, "", s.base().TLSClientConfig)
}

func init() { proxyplease.SetDebugf(func(string, ...any) {}) } // it prints what it does

// pleaseDial finds the scheme out, for each tunnel anew. Its NTLM panics on the
// type 2 of proxytest, which is an "error" in the tables.
func pleaseDial(s *site) dialFunc {
	proxy := *s.proxy // it writes to what it gets
	dial := proxyplease.NewDialContext(proxyplease.Proxy{URL: &proxy, Username: user, Password: password, TLSConfig: s.base().TLSClientConfig})
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return dial(ctx, network, addr)
	}
}

// pleaseClient bounds the wait for an origin's answer: where no scheme will do,
// what the dialer returns is a connection to the proxy.
func pleaseClient(s *site, base *http.Transport) (http.RoundTripper, error) {
	base.TLSHandshakeTimeout = 10 * time.Second // as in http.DefaultTransport
	return dialing(pleaseDial)(s, base)
}

func mwitkowDial(s *site) dialFunc {
	d := mwitkow.New(s.proxy, mwitkow.WithProxyAuth(mwitkow.AuthBasic(user, password)), mwitkow.WithTls(s.base().TLSClientConfig))
	return func(_ context.Context, network, addr string) (net.Conn, error) { return d.Dial(network, addr) }
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func azureClient(_ *site, base *http.Transport) (http.RoundTripper, error) {
	n := azure.Negotiator{RoundTripper: base, AllowBasicAuth: true}
	return roundTripFunc(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.SetBasicAuth(user, password)
		return n.RoundTrip(req)
	}), nil
}

func icholyClient(_ *site, base *http.Transport) (http.RoundTripper, error) {
	return &icholy.Transport{Username: user, Password: password, Transport: base}, nil
}

func mongodbClient(_ *site, base *http.Transport) (http.RoundTripper, error) {
	return mongodb.NewTransportWithHTTPTransport(user, password, base), nil
}

func gokrb5Client(s *site, base *http.Transport) (http.RoundTripper, error) {
	var krb5 *client.Client
	if s.kind == "Negotiate" {
		var err error
		if krb5, err = gokrb5Login(s); err != nil {
			return nil, err
		}
	}
	c := spnego.NewClient(krb5, &http.Client{Transport: base}, "")
	return roundTripFunc(c.Do), nil
}

func gokrb5Login(s *site) (*client.Client, error) {
	conf, err := config.Load(s.krb5)
	if err != nil {
		return nil, err
	}
	cache, err := credentials.LoadCCache(s.cache)
	if err != nil {
		return nil, err
	}
	return client.NewFromCCache(cache, conf)
}
