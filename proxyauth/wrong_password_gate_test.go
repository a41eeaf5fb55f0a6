//go:build gate

package proxyauth_test

import (
	"testing"
	"time"
)

// R8, R38: a wrong password is tried no more often than TestWrongPassword says, by
// each scheme and way, and by a crowd that asks every ten minutes. -v prints a table.
//
//	go test -tags gate -run '^TestWrongPasswordEverywhere$' -v ./proxyauth
func TestWrongPasswordEverywhere(t *testing.T) {
	var table refusalTable
	t.Run("cases", func(t *testing.T) {
		for name, r := range refusals {
			for _, schemes := range r.schemes() {
				for _, way := range r.ways {
					table.run(t, name, schemes, way, &askers{size: 100, grows: 2, longest: 10 * time.Minute})
				}
			}
		}
	})
	table.log(t)
}

// R8: as many user names as a Transport keeps in mind, all wrong.
func TestThousandsOfWrongUserNames(t *testing.T) { tryWrongUserNames(t, 1500) }
