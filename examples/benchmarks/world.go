package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const (
	user     = "alice"
	password = "open sesame"
	timeout  = 60 * time.Second // for any single step
)

// A world is what all rows have in common: the origins, and a directory.
type world struct {
	plain, secure, h2 *httptest.Server
	roots             *x509.CertPool
	dir               string
	caFile            string
	able              map[string]map[string]bool // what has got through, by contender, scheme and way
}

func newWorld() (*world, error) {
	dir, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return nil, err
	}
	origin := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		w.Header().Set("Received", strconv.FormatInt(n, 10))
		io.WriteString(w, "ok\n")
	})
	w := &world{plain: httptest.NewServer(origin), secure: httptest.NewUnstartedServer(origin), h2: httptest.NewUnstartedServer(origin),
		roots: x509.NewCertPool(), dir: dir, caFile: filepath.Join(dir, "ca.pem"),
		able: map[string]map[string]bool{}}
	for _, s := range []*httptest.Server{w.secure, w.h2} {
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http gives up the handshakes that a burst has no more need for
	}
	w.secure.StartTLS()
	w.h2.EnableHTTP2 = true
	w.h2.StartTLS()
	cert := w.secure.Certificate() // httptest has one for all its servers, and for the stub
	w.roots.AddCert(cert)
	return w, os.WriteFile(w.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600)
}

func (w *world) close() error {
	w.plain.Close()
	w.secure.Close()
	w.h2.Close()
	return os.RemoveAll(w.dir)
}

// A way is one through a proxy.
type way struct{ name, url string }

func (w *world) ways() []way { return []way{{"forward", w.plain.URL}, {"tunnel", w.secure.URL}} }

// A scheme is a way in which a proxy demands authentication.
type scheme struct {
	name string
	kind string // auth-scheme
	auth proxytest.Auth
}

var (
	basic     = scheme{"Basic", "Basic", proxytest.Basic{Realm: "benchmarks"}}
	digestMD5 = scheme{"Digest MD5", "Digest", proxytest.Digest{Realm: "benchmarks", Algorithms: []string{"MD5"}}}
	digestSHA = scheme{"Digest SHA-256", "Digest", proxytest.Digest{Realm: "benchmarks", Algorithms: []string{"SHA-256"}}}
	ntlmV2    = scheme{"NTLM", "NTLM", proxytest.NTLM{}}
	kerberos  = scheme{"Negotiate", "Negotiate", proxytest.Negotiate{}}

	schemes = []scheme{basic, digestMD5, digestSHA, ntlmV2, kerberos}
)

// A site is a proxy as a client sees it.
type site struct {
	scheme
	proxy       *url.URL // without userinfo
	roots       *x509.CertPool
	caFile      string
	cache, krb5 string // a Kerberos ticket of the user, and the krb5.conf
}

// site starts a proxy. start is proxytest.New or NewTLS.
func (w *world) site(s scheme, start func(proxytest.Config) *proxytest.Proxy) (*site, *proxytest.Proxy, error) {
	p := start(proxytest.Config{Auth: []proxytest.Auth{s.auth}, Users: map[string]string{user: password}})
	st, err := w.siteAt(s, p.URL)
	if err == nil && s.kind == "Negotiate" {
		err = st.kinit(p)
	}
	if err != nil {
		p.Close()
		return nil, nil, err
	}
	if cert := p.Certificate(); cert != nil {
		st.roots = st.roots.Clone()
		st.roots.AddCert(cert)
	}
	return st, p, nil
}

// siteAt is a site of a proxy that runs. It has no ticket.
func (w *world) siteAt(s scheme, proxy *url.URL) (*site, error) {
	dir, err := os.MkdirTemp(w.dir, "site")
	if err != nil {
		return nil, err
	}
	return &site{scheme: s, proxy: proxy, roots: w.roots, caFile: w.caFile,
		cache: filepath.Join(dir, "ticket"), krb5: filepath.Join(dir, "krb5.conf")}, nil
}

// kinit gets a ticket for p, or for a proxy that takes any.
func (s *site) kinit(p *proxytest.Proxy) error {
	if err := p.WriteKerberosConfig(s.krb5); err != nil {
		return err
	}
	return p.WriteTicketCache(s.cache, user, time.Hour)
}

// base is the http.Transport that a contender may change.
func (s *site) base() *http.Transport {
	return &http.Transport{
		Proxy:             http.ProxyURL(s.proxy),
		TLSClientConfig:   &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2: true,
		MaxIdleConns:      100,
	}
}
