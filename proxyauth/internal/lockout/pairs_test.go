package lockout

import (
	"testing"
	"time"
)

// R8, R37 (h), R38: other pairs of a user name, and a pair at other proxies.
func TestPairs(t *testing.T) {
	refusedTwice := `
			0s   1 asks Basic a as one : goes
			0s   1 refused
			0s   1 asks again : goes
			0s   1 refused`
	former := `
			0s   1 asks Basic a as old : goes
			0s   1 passed
			1s   1 asks Basic a as new : goes
			1s   2 asks Basic b as new : waits until 5s
			2s   1 refused
			2s   1 asks again : goes on as old
			2s   2 asks again : goes on as old
			2s   1 asks Basic a as old : goes
			2s   1 passed`
	for name, text := range map[string]string{
		"another pair may be tried at once, but two of a user name in 31 minutes": refusedTwice + `
			1s      2 asks Basic a as two : goes
			1s      3 asks Basic a as three : waits until 31s
			1s      4 asks Basic a as two : waits until 5s
			1s      5 asks Basic a as other of bob : goes
			1m      2 unclear
			2m      2 asks Basic a as three : held until 31m0s by refused
			2m      2 asks Basic a as four : held until 31m0s
			2m      2 asks Basic a as three at elsewhere : goes
			31m     2 asks Basic a as three : goes
			31m     3 asks Basic a as four : waits until 31m30s`,

		"not counting what passed": refusedTwice + `
			1s      2 asks Basic a as two : goes
			1s      2 passed
			1s      2 asks Digest b as three : goes`,

		"nor what was not sent or said nothing": refusedTwice + `
			1s      2 asks Basic a as two : goes
			1s      2 not sent
			1s      2 asks Basic b as three : goes
			1s      2 503
			1s      2 asks Basic b as four : goes`,

		"unclear answers count": `
			0s      1 asks Basic a as one : goes
			0s      1 refused
			0s      1 asks Basic a as one : goes
			0s      1 unclear
			0s      2 asks Basic a as two : goes
			0s      2 refused
			0s      2 asks Basic a as two : goes
			0s      2 unclear
			0s      3 asks Basic a as three : held until 31m0s`,

		"also beside one that passed": `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			0s      2 asks Basic a as one : goes
			0s      2 refused
			0s      2 asks Basic a as two : goes
			0s      2 refused
			0s      2 asks Basic a as three : goes on as old`,

		"a second pair's own time counts": refusedTwice + `
			10m     2 asks Basic a as two : goes
			10m     2 refused
			31m     3 asks Basic a as three : goes
			31m     3 refused
			31m     4 asks Basic a as four : held until 41m0s
			31m     4 asks Basic c as one : held until 41m0s`,

		"what never passed at any proxy has 4 attempts at all of them": refusedTwice + `
			1s      2 asks Basic a as one at second : goes
			1s      2 refused
			2s      2 asks Basic b as one at second : goes
			2s      3 asks Basic a as one at third : waits until 32s
			3s      2 refused
			3s      3 asks again : held until 31m0s by refused
			3s      4 asks Basic a as two at third : goes
			31m     3 asks again : goes
			31m     5 asks Basic b as one at fourth : goes
			31m     6 asks Basic b as one at fifth : waits until 31m3s
			31m3s   6 asks again : goes`,

		"who waits for one of two pairs waits for its answer, though the other was refused": `
			0s      1 asks Basic a as one : goes
			0s      2 asks Basic a as two : goes
			1s      2 refused
			1s      3 asks Basic b as three : waits until 31s
			2s      1 passed
			2s      3 asks again : goes`,

		"one that passed at another has its own": refusedTwice + `
			1s      2 asks Basic a as one at second : goes
			1s      2 unclear
			2s      2 asks Basic b as one at second challenged : goes
			2s      2 passed
			2s      3 asks Basic a as one at third : goes
			2s      3 refused
			2s      3 asks again : goes
			2s      3 refused
			2s      4 asks Basic a as one at fourth : goes`,

		"a single proxy is not meant by that": `
			0s      1 asks Basic a unasked : goes
			0s      1 unclear
			0s      1 asks Basic b unasked : goes
			0s      1 unclear
			5s      1 asks Basic c unasked : goes
			5s      1 unclear
			1m5s    1 asks Basic d unasked : goes
			1m5s    1 403
			6m5s    1 asks Basic e unasked : goes`,

		"where a new pair is refused and a former one passed, requests go on with that": former + `
			21.9s   3 asks Basic c as new : goes on as old
			22s     3 asks again : goes
			22s     4 asks Basic c as new : goes on as old
			23s     3 refused
			23s     rejected : new
			2m22.9s 3 asks Basic c as new : goes on as old
			2m23s   3 asks Basic c as new : goes
			2m23s   3 unclear
			33m22s  3 asks Basic c as new : goes on as old
			33m23s  3 asks Basic d as new challenged : goes
			33m23s  3 passed
			33m23s  3 asks Basic d as new : goes`,

		"a request to which the former one was refused waits for the new one": former + `
			3s      1 asks Basic b as old : goes
			3s      1 refused
			3s      2 asks Basic b as new : goes
			3s      1 asks Basic b as new barred : waits until 33s
			4s      2 passed
			4s      1 asks again : goes`,

		"also where that is a long upload": former + `
			3s      1 asks Basic b as old : goes
			3s      1 refused
			3s      2 asks Basic b as new : goes
			3s      2 frees
			3s      1 asks Basic b as new barred : waits until 33s
			4s      2 passed
			4s      1 asks again : goes`,

		"a refusal of the new one, of before that of the former was read, says nothing of now": former + `
			22s     2 asks Basic b as new : goes
			23s     1 asks Basic b as old : goes
			23s     1 refused
			24s     2 refused
			24s     3 asks Basic b as new : goes
			25s     3 refused
			25s     4 asks Basic b as new barred : held until 31m25s`,

		"but after four refusals it waits in any case": `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			1s      1 asks Basic a as new : goes
			1s      1 refused twice
			21s     2 asks Basic b as new : goes
			22s     1 asks Basic b as old : goes
			22s     1 refused
			23s     2 refused twice
			23s     3 asks Basic c as new : goes on as old
			2m23s   3 asks Basic c as new : goes`,

		"the new one is tried at once when the former is refused": former + `
			3s      1 asks Basic b as old : goes
			3s      1 refused
			3s      2 asks Basic b as new : goes
			3s      3 asks Basic b as new : goes on as old
			4s      2 not sent
			4s      2 asks Basic b as new : goes
			4s      2 refused
			4s      2 asks Basic b as new : goes on as old
			4s      1 asks Basic c as old : goes
			4s      1 refused
			4s      2 asks Basic c as new : held until 2m4s (the former is held off)
			24s     2 asks Basic c as new : goes on as old (for a try of it)
			2m4s    2 asks Basic c as new : goes
			2m4s    2 passed`,

		"what was not sent changes nothing of that": `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			0s      1 asks Basic a as new : goes
			4s      2 asks Basic b as new : goes
			4s      1 refused
			5s      2 not sent
			5s      1 asks Basic a as new : goes on as old
			24s     1 asks Basic a as new : goes
			24s     1 not sent
			24s     1 asks Basic a as new : goes`,

		"but not without end": former + `
			3s      1 asks Basic x as old : goes
			3s      1 refused
			3s      2 asks Basic b as new : goes
			3s      2 refused
			3s      1 asks Basic b as old : goes
			3s      1 passed
			4s      1 asks Basic y as old : goes
			4s      1 refused
			4s      2 asks Basic b as new : goes
			4s      2 refused
			4s      1 asks Basic b as old : goes
			4s      1 passed
			5s      1 asks Basic z as old : goes
			5s      1 refused
			5s      2 asks Basic b as new : goes
			5s      2 refused
			5s      1 asks Basic b as old : goes
			5s      1 passed
			6s      1 asks Basic w as old : goes
			6s      1 refused
			6s      2 asks Basic b as new : goes on as old`,

		"a new pair whose answer is unclear is tried as the table says, the former one meanwhile": `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			1s      1 asks Basic a as new : goes
			1s      1 unclear
			1s      1 asks Basic b as new challenged : goes
			1s      1 unclear
			1s      1 asks Basic c as new challenged : waits until 6s
			6s      1 asks again : goes
			6s      1 unclear
			6s      1 asks again : goes on as old`,

		"within an hour of its last pass": `
			0s        1 asks Basic a as older : goes
			0s        1 passed
			0s        1 asks Basic a as old : goes
			1s        1 passed
			59m59s    1 asks Basic a as new : goes
			59m59s    1 refused
			1h0m0.9s  1 asks Basic a as new at other : goes
			1h0m0.9s  1 asks Basic a as new : goes on as old
			1h0m1s    1 asks Basic a as new : goes
			1h0m1s    1 refused
			1h0m1s    1 asks Basic b as new : held until 1h31m1s`,

		"also where the new one has passed and is held off": `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			1s      1 asks Basic a as new : goes
			1s      1 passed
			1s      1 asks Basic a as new : goes
			1s      1 refused
			1s      1 asks Basic b as new : goes
			1s      2 asks Basic b as new : waits until 5s
			1s      1 refused
			1s      2 asks Basic b as new : goes on as old
			1s      2 asks Basic b as old : goes
			20s     2 asks Basic c as new : waits until 21s
			20s     2 asks Basic b as new : waits until 30s
			21s     2 asks Basic c as new : goes
			21s     2 passed
			21s     2 asks Basic c as new : goes`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R8, R38: RejectedFor, and what ends it.
func TestRejectedFor(t *testing.T) {
	wrong := `
			0s      1 asks Basic a : goes
			0s      1 refused
			0s      1 asks Basic b : goes
			0s      1 refused`
	ended := `
			0s      1 asks Basic z : goes
			0s      1 passed` + wrong
	for _, test := range []struct {
		name string
		long time.Duration
		text string
	}{
		{"it is the least time", time.Minute, wrong + `
			1m      2 asks Basic c : goes
			1m      2 refused
			1m      2 asks Basic d : held until 3m0s
			1m      3 asks Basic a as two : goes`},
		{"it shortens no pause of what passed", time.Minute, ended + `
			20s     2 asks Basic c : goes
			20s     2 refused
			80s     2 asks Basic d : goes
			80s     2 refused
			200s    2 asks Basic e : goes
			200s    2 refused
			440s    2 asks Basic f : goes
			440s    2 refused
			920s    2 asks Basic g : goes
			920s    2 refused
			920s    2 asks Basic h : held until 23m20s`},
		{"nor of a new pair beside a former one", time.Minute, `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			0s      1 asks Basic a as new : goes
			0s      1 refused
			20s     1 asks Basic a as new : goes
			20s     1 refused
			140s    1 asks Basic a as new : goes
			140s    1 refused
			259s    1 asks Basic a as new : goes on as old
			260s    1 asks Basic a as new : goes`},
		{"less than 0: a new pair that was refused gives way to the former for good", -1, `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			0s      1 asks Basic a as new : goes
			0s      1 refused
			59m     1 asks Basic a as new : goes on as old`},
		{"more than 4 h are not doubled", 5 * time.Hour, wrong + `
			5h      2 asks Basic c : goes
			5h      2 refused
			10h     2 asks Basic d : goes
			10h     2 refused
			10h     2 asks Basic e : held until 15h0m0s`},
		{"less than 0: never again", -1, wrong + `
			100h    2 asks Basic c : held for good by refused
			100h    rejected : secret
			876000h 2 asks Basic c : held for good (in 100 years)`},
		{"less than 0: nor what passed", -1, ended + `
			100h    2 asks Basic c : held for good by refused
			100h    rejected : secret
			100h    forget
			100h    rejected :
			100h    2 asks Basic c : goes`},
		{"less than 0: nor at the one target", -1, `
			0s      1 asks Basic z : goes
			0s      1 passed
			0s      1 asks Basic a : goes
			0s      1 refused
			0s      1 asks Basic a : goes
			0s      1 refused
			9h      1 asks Basic a : held for good
			9h      1 asks Basic b : goes
			9h      1 passed
			9h      1 asks Basic a : goes`},
		{"less than 0: what was not refused is tried again, and other pairs", -1, `
			0s      1 asks Basic a unasked : goes
			0s      1 unclear
			0s      1 asks Basic b unasked : goes
			0s      1 unclear
			5s      1 asks Basic c unasked : goes
			5s      1 unclear
			1m5s    1 asks Basic d unasked : goes
			1m5s    1 unclear
			1m5s    1 asks Basic e unasked : held until 32m5s
			1m5s    2 asks Basic e as two : goes
			1m5s    2 refused
			1m5s    2 asks Basic e as three : held until 32m5s`},
		{"forgotten refusals", 0, wrong + `
			1s      2 asks Basic c : held until 31m0s
			1s      rejected : secret
			1s      forget
			1s      rejected :
			1s      2 asks Basic c : goes
			1s      2 refused
			1s      2 asks Basic c : goes
			1s      2 refused
			1s      2 asks Basic d : held until 31m1s`},
		{"forgotten refusals of what passed", 0, ended + `
			1s      2 asks Basic c : held until 20s
			1s      forget
			1s      state : trusted
			1s      2 asks Basic c : goes
			1s      3 asks Basic d : goes`},
		{"forgotten, while another pair is in use", 0, `
			0s      1 asks Basic a as old : goes
			0s      1 passed
			0s      1 asks Basic a as new : goes
			0s      1 refused
			0s      1 asks Basic a as new : goes on as old
			0s      forget
			0s      1 asks Basic a as new : goes`},
	} {
		t.Run(test.name, func(t *testing.T) { play(t, test.long, test.text) })
	}
}
