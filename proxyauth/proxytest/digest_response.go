package proxytest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// response is what well-formed credentials say.
type response struct {
	algorithm
	foreign  bool // for a challenge of before a restart, or of another proxy
	realm    string
	opaque   string
	user     string // as claimed, still hashed if hashed
	hashed   bool
	nonce    string
	uri      string
	response string
	qop      string // "" for RFC 2069, and then there are no cnonce and nc
	cnonce   string
	nc       string
	count    uint64 // nc
}

// unhash returns the user whose hashed name is in the response or, if there
// is none, the hash itself.
func (d *digest) unhash(r response) (user, password string, known bool) {
	d.accounts.mu.Lock()
	defer d.accounts.mu.Unlock()
	for user, password := range d.accounts.passwords {
		if r.hash(user, r.realm) == r.user {
			return user, password, true
		}
	}
	return r.user, "", false
}

// read checks all that can be checked without knowing the user (RFC 7616,
// section 3.4).
func (d *digest) read(params map[string]param) (r response, err error) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		switch name {
		case "username", "realm", "nonce", "uri", "response", "cnonce", "opaque":
			if !params[name].quoted {
				return r, fmt.Errorf("the value of %s must be quoted", name)
			}
		case "algorithm", "qop", "nc", "userhash", "username*":
			if params[name].quoted {
				return r, fmt.Errorf("the value of %s must not be quoted", name)
			}
		}
	}
	for _, name := range []string{"realm", "nonce", "uri", "response"} {
		if _, ok := params[name]; !ok {
			return r, fmt.Errorf("the parameter %s is missing", name)
		}
	}
	r.nonce, r.uri, r.response = params["nonce"].value, params["uri"].value, params["response"].value
	r.realm, r.opaque = params["realm"].value, params["opaque"].value
	r.foreign = d.isForeign(&r, params)
	if !r.foreign {
		if r.realm != d.Realm {
			return r, fmt.Errorf("realm=%q is not that of the challenge", r.realm)
		}
		if _, given := params["opaque"]; !d.gave(r.opaque, given) {
			return r, fmt.Errorf("opaque=%q is not that of the challenge", r.opaque)
		}
	}
	if err := d.readAlgorithm(&r, params); err != nil {
		return r, err
	}
	if len(r.response) != 2*r.new().Size() || !isLowerHex(r.response) {
		return r, fmt.Errorf("response=%q is not %d lower-case hexadecimal digits", r.response, 2*r.new().Size())
	}
	if err := d.readUser(&r, params); err != nil {
		return r, err
	}
	return r, d.readQOP(&r, params)
}

// isForeign reports whether a response may be for a challenge that was not this
// proxy's, or not since its restart.
func (d *digest) isForeign(r *response, params map[string]param) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.forgiving:
		return false
	case d.Nonce != "" && r.nonce == d.Nonce: // theirs may be the same
		return r.realm != d.Realm || !slices.ContainsFunc(d.algorithms, func(a algorithm) bool {
			return a.name == params["algorithm"].value
		})
	}
	return d.nonces[r.nonce] == nil
}

// gave reports whether the proxy has given this opaque to a client, or none.
func (d *digest) gave(opaque string, given bool) bool {
	if !d.CountByOpaque {
		return opaque == d.Opaque && given == (d.Opaque != "")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.counts[opaque]
	return ok
}

// readAlgorithm checks that the algorithm is that of the nonce or, if the
// nonce is unknown, one of those offered.
func (d *digest) readAlgorithm(r *response, params map[string]param) error {
	name, given := params["algorithm"]
	if a, ok := newAlgorithm(name.value); ok && r.foreign {
		r.algorithm = a
		return nil
	}
	d.mu.Lock()
	n := d.nonces[r.nonce]
	d.mu.Unlock()
	for _, a := range d.algorithms {
		if a.name == name.value && given == (a.name != "") && (n == nil || n.algorithm == a.name || d.Nonce != "") {
			r.algorithm = a
			return nil
		}
	}
	return fmt.Errorf("algorithm=%q is not that of the challenge", name.value)
}

// readUser reads the name of the user in any of its three forms.
func (d *digest) readUser(r *response, params map[string]param) (err error) {
	plain, isPlain := params["username"]
	extended, isExtended := params["username*"]
	switch hashed := params["userhash"]; hashed.value {
	case "true":
		r.hashed = true
	case "", "false":
	default:
		return fmt.Errorf("userhash=%s is neither true nor false", hashed.value)
	}
	switch {
	case r.hashed && !d.UserHash && !r.foreign:
		return fmt.Errorf("userhash=true was not offered")
	case r.hashed && isExtended:
		return fmt.Errorf("username* is not for a hashed name")
	case isPlain && isExtended:
		return fmt.Errorf("both username and username* are given")
	case isPlain:
		r.user = plain.value
	case isExtended:
		if r.user, err = decodeExtended(extended.value); err != nil {
			return fmt.Errorf("username*: %v", err)
		}
	default:
		return fmt.Errorf("the parameter username is missing")
	}
	return nil
}

// readQOP reads qop and what comes with it: all three, or none.
func (d *digest) readQOP(r *response, params map[string]param) error {
	offered := d.QOP
	if _, ok := params["qop"]; r.foreign && ok {
		offered = []string{"auth", "auth-int"}
	} else if r.foreign {
		offered = nil
	}
	for _, name := range []string{"qop", "cnonce", "nc"} {
		if _, ok := params[name]; ok != (len(offered) > 0) {
			if ok {
				return fmt.Errorf("the parameter %s is given, but no qop was offered", name)
			}
			return fmt.Errorf("the parameter %s is missing", name)
		}
	}
	if len(offered) == 0 {
		return nil
	}
	r.qop, r.cnonce, r.nc = params["qop"].value, params["cnonce"].value, params["nc"].value
	if !slices.Contains(offered, r.qop) {
		return fmt.Errorf("qop=%s was not offered", r.qop)
	}
	if len(r.nc) != 8 || !isLowerHex(r.nc) {
		return fmt.Errorf("nc=%s is not 8 lower-case hexadecimal digits", r.nc)
	}
	var err error
	r.count, err = strconv.ParseUint(r.nc, 16, 32)
	return err
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
