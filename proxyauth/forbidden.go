package proxyauth

import (
	"net/http"
	"slices"
	"time"
)

// A doubt is a 403 to a CONNECT with credentials that the proxy has not let pass
// before: its policy forbids the target, or it refuses wrong credentials in this
// way. Until that is clear they are not sent for this target again, so that no
// account is locked. It is clear once they pass for another target.
type doubt struct {
	scheme Scheme
	realm  string
	cred   Credentials
	err    *ConnectError
}

// maxDoubts bounds the memory of a route.
const maxDoubts = 64

// doubtful notes that st was answered by err.
func (r *route) doubtful(st *standing, err *ConnectError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err.at = time.Now()
	r.doubts = slices.DeleteFunc(r.doubts, func(d doubt) bool {
		return d.err.Target == err.Target || time.Since(d.err.at) > r.t.rejectedFor
	})
	if len(r.doubts) >= maxDoubts {
		r.doubts = slices.Delete(r.doubts, 0, 1)
	}
	r.doubts = append(r.doubts, doubt{st.scheme, st.realm, st.cred, err})
}

// doubted returns the answer to an earlier CONNECT to the same target with the
// same credentials, or nil if req is to be sent.
func (r *route) doubted(req *http.Request) error {
	if req.Method != http.MethodConnect {
		return nil
	}
	r.mu.Lock()
	i := slices.IndexFunc(r.doubts, func(d doubt) bool {
		return d.err.Target == req.Host && time.Since(d.err.at) < r.t.rejectedFor
	})
	var d doubt
	if i >= 0 {
		d = r.doubts[i]
	}
	r.mu.Unlock()
	if i < 0 {
		return nil
	}
	if cred, _, err := r.credentials(req.Context(), d.scheme, d.realm); err != nil || cred != d.cred {
		return nil
	}
	again := *d.err
	again.remembered = true
	return &again
}
