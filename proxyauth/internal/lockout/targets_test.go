package lockout

import "testing"

// R37, R46: which targets are asked.
func TestTargets(t *testing.T) {
	held := `
			0s    1 asks Basic a : goes
			0s    1 passed
			1s    2 asks Basic u : goes
			1s    2 403
			1s    3 asks Basic a : goes
			1s    3 refused
			1s    4 asks Basic b : goes
			1s    4 refused`
	denied := `
			0s    1 asks Basic a : goes
			0s    1 passed
			1s    2 asks Basic x : goes
			1s    2 refused
			1s    3 asks Basic a : goes
			1s    3 passed`
	for name, text := range map[string]string{
		"a try goes first to a target that was not refused or unclear, 10 s later to others": held + `
			20s   8 asks Basic c : waits until 21s
			20s   5 asks Basic a : waits until 30s
			20s   6 asks Basic b : waits until 30s
			20s   7 asks Basic u : waits until 30s
			21s   7 asks again   : waits until 30s
			30s   7 asks again   : goes`,

		"where these do not ask it goes to any": held + `
			2s    5 asks Basic c : held until 21s
			11s   6 asks Basic a : held until 31s
			12s   6 asks Basic a : held until 21s
			20s   7 asks Basic u : waits until 21s
			21s   7 asks again   : goes`,

		"since the last pass": held + `
			21s   5 asks Basic c : goes
			21s   5 passed
			22s   5 asks Basic v : goes
			22s   5 refused
			22s   6 asks Basic w : goes
			22s   6 refused
			42s   7 asks Basic u : goes`,

		"on a pass, targets refused since the last one are denied: their refusals are not counted": denied + `
			2s    2 asks Basic x : goes
			2s    2 refused
			2s    state : trusted
			2s    4 asks Basic b : goes
			2s    5 asks Basic b : goes
			2s    4 refused
			2s    5 asks Basic x : goes
			2s    5 refused
			2s    state : suspect`,

		"as long as something has passed within 60 s": denied + `
			61s   2 asks Basic x : goes
			61s   2 refused
			61s   state : suspect`,

		"after three such refusals they wait for the next pass": denied + `
			2s    2 asks Basic x : goes
			2s    2 refused
			2s    2 asks Basic x : goes
			2s    2 refused
			2s    2 asks Basic x : goes
			2s    2 refused
			2s    2 asks Basic x : held until 1m1s
			2s    3 asks Basic a : goes
			2s    2 asks Basic x : waits until 32s
			2s    3 passed
			2s    2 asks again   : goes
			2s    state : trusted`,

		"60 s at most": denied + `
			2s    2 asks Basic x : goes
			2s    3 asks Basic x : goes
			2s    4 asks Basic x : goes
			2s    2 refused
			2s    3 refused
			2s    4 refused
			58s   2 asks Basic x : waits until 1m1s
			61s   2 asks again   : goes
			61s   2 refused
			61s   state : suspect
			61s   2 asks Basic x : goes
			61s   2 refused
			61s   2 asks Basic x : held until 1m21s`,

		"a pass at one takes it off": denied + `
			2s    2 asks Basic x : goes
			2s    2 passed
			3s    2 asks Basic x : goes
			3s    2 refused
			3s    state : suspect`,

		"also what was refused before anything passed": `
			0s    1 asks Basic a : goes
			0s    1 refused
			0s    2 asks Basic b : goes
			0s    2 passed
			0s    1 asks Basic a : goes
			0s    1 refused
			0s    state : trusted`,

		"but not by a scheme that never passed": denied + `
			2s    2 asks Digest x : goes
			2s    2 refused
			2s    2 asks Digest x : goes
			2s    2 refused
			2s    2 asks Digest y : held until 31m2s`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}
