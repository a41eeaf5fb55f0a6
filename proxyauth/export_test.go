package proxyauth

import "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"

// SchemeOf returns a Scheme whose conversations are those of s.
func SchemeOf(s scheme.Scheme) Scheme { return added{s} }

type added struct{ scheme.Scheme }

func (a added) conversations() scheme.Scheme { return a.Scheme }
