package env_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Entries of NO_PROXY that can never match are told, by their place in the list.
func TestNoProxyMistakes(t *testing.T) {
	for value, want := range map[string][]string{
		`".corp.example"`:             {`entry 1 "\".corp.example\"" can never match: remove the quotation marks`},
		"$X":                          {`entry 1 "$X" can never match: a variable in it was not expanded`},
		"a.example, http://b.example": {`entry 2 "http://b.example" can never match: write the host of the URL alone`},
		"http://alice:Zq7@b.example":  {`entry 1 (not shown) can never match: write the host of the URL alone`},
		"a.example b.example":         {`entry 1 "a.example b.example" can never match: separate entries by commas`},
		"<local>":                     {`entry 1 "<local>" can never match: it is a form of Windows; localhost is always excluded, other names without a dot one by one`},
		"a;b":                         {`entry 1 "a;b" can never match: separate entries by commas`},
		"10.0.0.0/33":                 {`entry 1 "10.0.0.0/33" can never match: it is not a network such as 10.0.0.0/8, and has a slash`},
		"a.example/x":                 {`entry 1 "a.example/x" can never match: it is not a network such as 10.0.0.0/8, and has a slash`},
		"a.example:http":              {`entry 1 "a.example:http" can never match: its port is not a number from 1 to 65535`},
		":80":                         {`entry 1 ":80" can never match: it has no host`},
		"10.*,*corp":                  {`entry 1 "10.*" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8`, `entry 2 "*corp" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8`},
		"[::1]":                       {`entry 1 "[::1]" can never match: write an IPv6 address without brackets, or as [address]:port`},
		"'x',\"":                      {`entry 1 "'x'" can never match: remove the quotation marks`, `entry 2 "\"" can never match: remove the quotation marks`},
		"*.,.,*.*.x": {`entry 1 "*." can never match: it has no host`, `entry 2 "." can never match: it has no host`,
			`entry 3 "*.*.x" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8`},
		"x:0,x:65536": {`entry 1 "x:0" can never match: its port is not a number from 1 to 65535`, `entry 2 "x:65536" can never match: its port is not a number from 1 to 65535`},
		"a|b,a@b/c":   {`entry 1 "a|b" can never match: separate entries by commas`, `entry 2 (not shown) can never match: it is not a network such as 10.0.0.0/8, and has a slash`},
		"[::1],x y,*": nil, // nothing else counts
		"":            nil,
		" a.example ,,.b.example,*.c.example,d.example:443,10.0.0.0/8,2001:db8::/32,10.1.2.3,2001:db8::1,[2001:db8::1]:80,192.0.2.1:80,e:65535,": nil,
	} {
		vars{"no_proxy": value}.set(t)
		require.Equal(t, want, mistakes(t, "no_proxy: "), value)
	}
}
