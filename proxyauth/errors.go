package proxyauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// Why a request could not be authenticated. errors.Is on every [*AuthError]
// says which of these it was.
var (
	// ErrNoCredentials: the proxy demands credentials and there are none. A
	// [CredentialSource] returns it to say that it has none.
	ErrNoCredentials = errors.New("proxyauth: no credentials for the proxy")

	// ErrNoUsableScheme: none of the schemes that the proxy offers can be used.
	// AuthError.Schemes says why.
	ErrNoUsableScheme = errors.New("proxyauth: the proxy offers no usable authentication scheme")

	// ErrRejected: the proxy refused the credentials, to this request or to an earlier
	// one, so that this one was not sent. AuthError.NextTry says when they are sent
	// again if they are held back.
	ErrRejected = errors.New("proxyauth: the proxy rejected the credentials")

	// ErrHeld: the proxy did not refuse the credentials, and yet they are not sent
	// now, so that a wrong password does not lock an account: the answer to an
	// earlier attempt leaves it open whether they are right, or another request's
	// attempt takes too long. The error wraps that answer, if there is one.
	ErrHeld = errors.New("proxyauth: the credentials are held back for now")

	// ErrProxyFault: the proxy does not keep to the standards. It calls each nonce
	// stale, for instance, or answers 407 to CONNECT without a challenge.
	ErrProxyFault = errors.New("proxyauth: the proxy misbehaves")

	// ErrBodyConsumed: the proxy demanded authentication when a part of the request
	// body had been sent, and the body cannot be read again (Request.GetBody is nil).
	ErrBodyConsumed = errors.New("proxyauth: the request body cannot be sent again")
)

// An AuthError tells why a request did not get through its proxy. It holds no
// credentials: passwords and tokens are struck out even where the proxy's page
// repeats them.
type AuthError struct {
	Proxy  string // the proxy's URL without userinfo
	Target string // host:port of a tunnel, else the host of the request's URL
	Realm  string // of the proxy's first challenge that has a realm

	// Schemes has one entry for each authentication scheme: first those that the proxy
	// offered in its last 407, in the proxy's order, then others that were tried or
	// failed. It is empty if nothing is known of the proxy yet.
	Schemes []SchemeOutcome

	// The answer that ended the request, usually a 407: its status, its header, and
	// the first 4 KiB of its body. A header of more than 64 values or 16 KiB is cut to
	// the most useful fields; a Status or Realm of more than 256 bytes is cut, and ends
	// with "…". If this request was not sent since the proxy had refused the credentials
	// before, it is the answer to that earlier request. All are zero if there was no
	// answer.
	StatusCode int
	Status     string
	Header     http.Header
	Body       []byte

	// NextTry is the time from which credentials that are held back are sent again,
	// with the next request. It is zero if they are not held back, and if they are not
	// sent again before they change or Transport.ForgetRejections is called.
	NextTry time.Time

	// Err is ErrNoCredentials, ErrNoUsableScheme, ErrRejected, ErrHeld,
	// ErrProxyFault or ErrBodyConsumed.
	Err error

	tried   []string  // the names of schemes, in the order of trying
	reasons []string  // what else went wrong
	cause   error     // of a credential source or a scheme; may be nil
	remedy  string    // what to do next
	at      time.Time // when the proxy said so

	// remembered: this request was not sent, since the proxy's answer to an
	// earlier one was known.
	remembered bool
}

// Error names the proxy, what it offered, what was tried and what to do next.
func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proxyauth: proxy %s ", e.Proxy)
	switch {
	case errors.As(e.cause, new(scheme.Unproven)):
		b.WriteString("did not prove that it knows the credentials")
	case e.Err == ErrNoCredentials:
		b.WriteString("demands authentication and there are no credentials for it")
	case e.Err == ErrNoUsableScheme:
		b.WriteString("demands authentication and offers nothing that can be used")
	case e.Err == ErrRejected:
		b.WriteString("rejected the credentials")
	case e.Err == ErrHeld:
		b.WriteString("has not said yet whether the credentials are right, so they are held back and this request was not sent")
	case e.Err == ErrProxyFault:
		b.WriteString("asks for authentication in a way that cannot be answered")
	case e.Err == ErrBodyConsumed:
		b.WriteString("demanded authentication when a part of the request body was gone, and it cannot be read again")
	}
	if e.remembered {
		fmt.Fprintf(&b, " %s, so this request was not sent", ago(e.at))
	}
	fmt.Fprintf(&b, " (target %s", e.Target)
	if e.StatusCode != 0 && e.StatusCode != http.StatusProxyAuthRequired {
		fmt.Fprintf(&b, "; status %d", e.StatusCode)
	}
	fmt.Fprintf(&b, "; offered: %s", list(offered(e.Schemes)))
	if e.Realm != "" {
		fmt.Fprintf(&b, ", realm %q", e.Realm)
	}
	if tried := tried(e.Schemes, e.tried); len(tried) > 0 {
		fmt.Fprintf(&b, "; tried: %s", list(tried))
	}
	for _, s := range e.Schemes {
		for _, f := range s.findings() {
			b.WriteString("; " + f.String())
		}
	}
	for _, reason := range e.reasons {
		b.WriteString("; " + reason)
	}
	b.WriteString(")")
	if cure := e.cure(); cure != "" {
		b.WriteString(": " + cure)
	}
	return b.String()
}

// cure returns what to do, and when the credentials are tried again; "" if that is not
// known.
func (e *AuthError) cure() string {
	if e.remedy == "" || e.NextTry.IsZero() {
		return e.remedy
	}
	return e.remedy + "; they are tried again in " + inTime(e.NextTry)
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func ago(t time.Time) string {
	if d := time.Since(t).Round(time.Second); d >= time.Second {
		return d.String() + " ago"
	}
	return "just now"
}

// inTime returns the time until t.
func inTime(t time.Time) string {
	d := max(time.Until(t), 0)
	if d > time.Minute {
		return strings.Replace(d.Round(time.Minute).String(), "m0s", "m", 1)
	}
	return d.Round(time.Second).String()
}

// Unwrap returns Err and, where there is one, the error of the credential
// source or the scheme behind it.
func (e *AuthError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.cause}
}

const unlessChanged = "; they are not sent again before they change, or Transport.ForgetRejections is called"

// afterRefusal tells what to do after credentials were refused, and when they are tried
// again if they are held back.
func (e *AuthError) afterRefusal(account lockout.Status) {
	switch {
	case account.State == lockout.HeldOff && account.Next.IsZero():
		e.remedy += unlessChanged
	case account.State == lockout.HeldOff:
		e.NextTry = account.Next
	case !account.Passed.IsZero():
		e.remedy = fmt.Sprintf("they passed %s, so ask the proxy's administrators whether it denies this target or has lost its directory; if it goes on, %s", ago(account.Passed), e.remedy)
	default:
		e.remedy += "; they are sent once more, and then held back"
	}
}

// again returns the error for another request, to target, which is not sent since the
// proxy has refused its credentials before.
func (e *AuthError) again(target string) *AuthError {
	repeated := *e
	repeated.Target = target
	repeated.remembered = true
	return &repeated
}

// A ConnectError is a proxy's refusal to open a tunnel for another reason than
// authentication: its policy, or the target cannot be reached. A 401 or 403 to
// credentials that have never passed may also mean that they are wrong. Like an
// [AuthError] it holds no credentials, even where the proxy repeats them.
type ConnectError struct {
	Proxy      string      // the proxy's URL without userinfo
	Target     string      // host:port
	StatusCode int         // of the answer to CONNECT
	Status     string      // with its text, "403 Forbidden"; cut as in an AuthError
	Header     http.Header // of the answer; cut as in an AuthError
	Body       []byte      // of the answer, the first 4 KiB
	Tried      string      // the scheme by which credentials were sent; "" if none were

	trusted   bool   // the credentials had passed before
	neverAsks string // what to do if the proxy is one that never asks for credentials; "": it is none
}

// Error names the proxy, the target, the status, what it usually means and what
// to do about it.
func (e *ConnectError) Error() string {
	s := fmt.Sprintf("proxyauth: proxy %s answered %q to CONNECT %s", e.Proxy, e.Status, e.Target)
	cause, remedy := e.meaning()
	if cause != "" {
		s += ": " + cause + "; " + remedy
	}
	return s
}

// temporary reports whether the proxy says that it cannot reach the target.
func (e *ConnectError) temporary() bool {
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
