package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

const (
	attempts  = 5               // of one request that is answered with Retry-After
	maxPause  = 5 * time.Minute // a longer Retry-After is the caller's to decide
	maxSpeech = 64 << 20        // bytes of an answer
)

// NewTransport returns a Transport that goes through proxies and verifies the
// certificates of the API, and of https:// proxies, against roots.
func NewTransport(proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) *proxyauth.Transport {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.Proxy = proxy
	base.TLSClientConfig = &tls.Config{RootCAs: roots}
	return &proxyauth.Transport{Base: base}
}

// A Client calls a text-to-speech API. It may be used from many goroutines.
type Client struct {
	api      *url.URL
	key      func() string // not a string, so that printing a Client does not show it
	http     *http.Client
	interval time.Duration

	mu   sync.Mutex
	next time.Time // when the next request may leave
}

// NewClient returns a Client of the API at an https:// URL. The key goes to the
// API alone. Requests leave at least interval apart.
func NewClient(api, key string, transport http.RoundTripper, interval time.Duration) (*Client, error) {
	u, err := url.Parse(api)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("the API's URL must be https://host, without a user in it: the key must not travel in clear")
	}
	if key == "" {
		return nil, errors.New("there is no API key")
	}
	return &Client{
		api:      u,
		key:      func() string { return key },
		interval: interval,
		http: &http.Client{
			Transport: transport,
			// An API does not redirect a POST, and a redirect to http:// on the
			// same host would take the key along in clear.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Speak returns text spoken, as a WAV file. The voice is that of reference, a
// WAV file too; nil means the API's own. Speak reads reference as it sends it,
// and does not close it. What can be read at any offset, such as a file, can be
// sent again when the API asks to come back later; a stream cannot.
//
// An error is an [*APIError], or says by [FailedAt] that it is of the proxy.
func (c *Client) Speak(ctx context.Context, text string, reference io.Reader) ([]byte, error) {
	order := struct {
		Text  string `json:"text"`
		Voice string `json:"voice,omitempty"`
	}{Text: text}
	if reference != nil {
		voice, err := c.upload(ctx, reference)
		if err != nil {
			return nil, err
		}
		order.Voice = voice
	}
	body, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, "v1/speech", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.do(req, "audio/wav", maxSpeech)
}

// upload sends the reference and returns the API's name for the voice in it.
func (c *Client) upload(ctx context.Context, reference io.Reader) (voice string, err error) {
	req, err := c.request(ctx, "v1/voices", "audio/wav", reference)
	if err != nil {
		return "", err
	}
	req.Header.Set("Expect", "100-continue") // what the API refuses is not sent
	body, err := c.do(req, "application/json", 1<<16)
	if err != nil {
		return "", err
	}
	var made struct{ Voice string }
	if err := json.Unmarshal(body, &made); err != nil || made.Voice == "" {
		return "", errors.New("the API did not name the voice that was uploaded")
	}
	return made.Voice, nil
}

// request returns a POST request, with GetBody where body can be read again.
func (c *Client) request(ctx context.Context, path, contentType string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api.JoinPath(path).String(), io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	if at, ok := body.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		start, err := at.Seek(0, io.SeekCurrent)
		if err == nil { // no pipe
			end, err := at.Seek(0, io.SeekEnd)
			if err != nil {
				return nil, err
			}
			req.ContentLength = end - start
			req.GetBody = func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(at, start, end-start)), nil
			}
			req.Body, _ = req.GetBody()
		}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+c.key())
	return req, nil
}

// do sends req when its turn has come, again after Retry-After, and returns the
// body of the answer, which must be of the given type and no longer than limit.
func (c *Client) do(req *http.Request, contentType string, limit int64) ([]byte, error) {
	ctx := req.Context()
	for attempt := 1; ; attempt++ {
		if err := c.turn(ctx); err != nil {
			return nil, err
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 == 2 {
			return readBody(resp, contentType, limit)
		}
		refusal := c.refusal(resp)
		pause, asked := retryAfter(resp.Header)
		if !asked || attempt == attempts || req.GetBody == nil {
			return nil, refusal
		}
		// No pause that cannot end well.
		if deadline, ok := ctx.Deadline(); pause > maxPause || ok && time.Until(deadline) < pause {
			return nil, refusal
		}
		c.pause(pause)
		req = req.Clone(ctx)
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
}

// turn waits until a request may leave.
func (c *Client) turn(ctx context.Context) error {
	for {
		c.mu.Lock()
		now := time.Now()
		wait := c.next.Sub(now)
		if wait <= 0 {
			c.next = now.Add(c.interval)
		}
		c.mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		select {
		case <-time.After(wait): // perhaps another was quicker, or there is a pause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pause holds back every request of the client.
func (c *Client) pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); until.After(c.next) {
		c.next = until
	}
}

// retryAfter returns how long to wait before the next attempt, and whether the
// answer asks for one (RFC 9110 §10.2.3).
func retryAfter(h http.Header) (wait time.Duration, asked bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date")) // by the API's clock, if it tells it
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now)), true
}

func readBody(resp *http.Response, contentType string, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	if got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); got != contentType {
		return nil, fmt.Errorf("the API answered with %q, not with %s", got, contentType)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("the API's answer is longer than %d bytes", limit)
	}
	return body, err
}

// An APIError is an answer of the API, through the proxy, that is not a success.
type APIError struct {
	StatusCode int
	Message    string        // the API's own, in one line, without the key
	RetryAfter time.Duration // when to come back; 0 if the API does not say
}

// Error gives the status and what the API says about it.
func (e *APIError) Error() string {
	s := fmt.Sprintf("the API answered %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf(" (come back in %v)", e.RetryAfter)
	}
	return s
}

// refusal reads and closes an answer that is not a success.
func (c *Client) refusal(resp *http.Response) *APIError {
	defer resp.Body.Close()
	e := &APIError{StatusCode: resp.StatusCode}
	e.RetryAfter, _ = retryAfter(resp.Header)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	var said struct{ Error string }
	if json.Unmarshal(body, &said) == nil {
		e.Message = strings.Map(printable, strings.ReplaceAll(said.Error, c.key(), "…"))
	}
	return e
}

// printable keeps what comes from elsewhere from moving a terminal's cursor.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return utf8.RuneError
	}
	return r
}

// FailedAt says whose error err is: "proxy", "API", or "" where it is neither's:
// TLS with the API, the context, a file.
func FailedAt(err error) string {
	var api *APIError
	var denied *proxyauth.AuthError     // user, password, scheme
	var refused *proxyauth.ConnectError // its policy, or it cannot reach the API
	var dial *net.OpError               // it cannot be reached itself
	switch {
	case errors.As(err, &api):
		return "API"
	case errors.As(err, &denied), errors.As(err, &refused), errors.As(err, &dial) && dial.Op == "proxyconnect":
		return "proxy"
	}
	return ""
}
