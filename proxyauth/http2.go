package proxyauth

import (
	"net/http"
	"reflect"
	"strings"
	"time"
)

// What golang.org/x/net/http2 attaches to a Base: an HTTP/2 with settings of its own, and
// with one pool of connections for Base and all its clones. Connections that one identity
// has opened would serve another by that pool, so each clone gets the HTTP/2 of net/http,
// with a pool of its own and with the settings that were attached.

// keepHTTP2 makes s.base, the clone of base, and the clones of it decide anew about HTTP/2,
// as base did: with a DialContext of ours net/http would decide differently. It tells what
// it cannot keep.
func (s *settings) keepHTTP2(base *http.Transport) {
	if _, speaks := base.TLSNextProto["h2"]; !speaks {
		return
	}
	s.base.TLSNextProto = nil
	s.base.ForceAttemptHTTP2 = true
	attached, known := attachedHTTP2(base)
	switch {
	case !known:
		s.log.Warn("proxy: the settings of an HTTP/2 in Base.TLSNextProto cannot be read and are not used: set Base.HTTP2 instead")
	case attached.IsValid():
		if lost := carryHTTP2(s.base, attached); len(lost) > 0 {
			s.log.Warn("proxy: settings of golang.org/x/net/http2 that are attached to Base are not used: set Base.HTTP2, or fields of Base, instead",
				"settings", strings.Join(lost, ", "))
		}
	}
}

// attachedHTTP2 returns the http2.Transport of golang.org/x/net/http2 that is attached to
// base; the zero Value where base has the HTTP/2 of net/http. It is not known if base has
// that of another transport, of which it is a clone, or of somebody else. base must have
// decided about HTTP/2, as Clone makes it do.
//
// net/http keeps it in a field that is not exported, and finds it by reflection itself
// (onceSetNextProtoDefaults).
func attachedHTTP2(base *http.Transport) (attached reflect.Value, known bool) {
	field := reflect.ValueOf(base).Elem().FieldByName("h2transport")
	if !field.IsValid() || field.Kind() != reflect.Interface {
		return reflect.Value{}, true // of a newer net/http
	}
	p := field.Elem()
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Type().Elem().Kind() != reflect.Struct {
		return reflect.Value{}, false
	}
	if p.Type().Elem().PkgPath() == "net/http" {
		return reflect.Value{}, true
	}
	return p.Elem(), true
}

// carryHTTP2 gives base the settings of attached, unless base.HTTP2 has them: that comes
// first in golang.org/x/net/http2, too. lost are those that net/http has no field for.
func carryHTTP2(base *http.Transport, attached reflect.Value) (lost []string) {
	if base.HTTP2 == nil {
		base.HTTP2 = &http.HTTP2Config{}
	}
	to := base.HTTP2
	carry(&to.SendPingTimeout, attached, "ReadIdleTimeout", reflect.Int64, asDuration)
	carry(&to.PingTimeout, attached, "PingTimeout", reflect.Int64, asDuration)
	carry(&to.WriteByteTimeout, attached, "WriteByteTimeout", reflect.Int64, asDuration)
	carry(&to.StrictMaxConcurrentRequests, attached, "StrictMaxConcurrentStreams", reflect.Bool, reflect.Value.Bool)
	carry(&to.MaxDecoderHeaderTableSize, attached, "MaxDecoderHeaderTableSize", reflect.Uint32, asSize)
	carry(&to.MaxEncoderHeaderTableSize, attached, "MaxEncoderHeaderTableSize", reflect.Uint32, asSize)
	carry(&to.MaxReadFrameSize, attached, "MaxReadFrameSize", reflect.Uint32, asFrameSize)
	for _, name := range []string{"CountError", "DisableCompression", "IdleConnTimeout", "MaxHeaderListSize"} {
		if f := attached.FieldByName(name); f.IsValid() && !f.IsZero() {
			lost = append(lost, name)
		}
	}
	return lost
}

// carry sets a field that is zero to that of attached, if that is of a kind which is known.
func carry[T comparable](to *T, attached reflect.Value, name string, kind reflect.Kind, as func(reflect.Value) T) {
	var zero T
	if f := attached.FieldByName(name); *to == zero && f.IsValid() && f.Kind() == kind {
		*to = as(f)
	}
}

func asDuration(v reflect.Value) time.Duration { return time.Duration(v.Int()) }
func asSize(v reflect.Value) int               { return int(v.Uint()) }

// asFrameSize keeps within what RFC 9113 §4.2 allows, as golang.org/x/net/http2 does;
// net/http would take the least size for one that is too large.
func asFrameSize(v reflect.Value) int { return min(asSize(v), 1<<24-1) }
