package env

import (
	"fmt"
	"strings"
	"testing"
)

// An error names a line that there is, and repeats nothing of the text; an
// entry that follows on what is no error is read, whatever its values.
func FuzzNetrc(f *testing.F) {
	for _, text := range []string{
		"", "machine proxy login alice password x\n", "default login alice password \"x y\\\"\"", "macdef m\nx\n\nmachine a",
		"# comment\nmachine a account b", "machine \"", "login", "\r\n\r\nmachine a frob",
	} {
		f.Add(text, "al ice", "p\"a\\s\ns")
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`)
	f.Fuzz(func(t *testing.T, text, login, password string) {
		before, err := ParseNetrc(text)
		if err != nil {
			var line int
			_, scanErr := fmt.Sscanf(err.Error(), "line %d: ", &line)
			if scanErr != nil || line < 1 || line > 1+strings.Count(text, "\n") {
				t.Fatalf("%q: %v", text, err)
			}
			_, message, _ := strings.Cut(err.Error(), ": ")
			for _, known := range []string{"a quote that does not end", "neither machine, default,", "nothing follows on ", "login before", "password before", "account before"} {
				if strings.HasPrefix(message, known) {
					return
				}
			}
			t.Fatalf("%q: %v", text, err)
		}
		after, err := ParseNetrc(fmt.Sprintf("%s\n\nmachine last login \"%s\" password \"%s\"", text, quote.Replace(login), quote.Replace(password)))
		if err != nil || len(after) != len(before)+1 {
			t.Fatalf("%q: %d entries and then %d: %v", text, len(before), len(after), err)
		}
		last := after[len(before)]
		if last.Machine != "last" || last.IsDefault || last.Login != login || last.Password != password {
			t.Fatalf("%q: %q %q became %q %q", text, login, password, last.Login, last.Password)
		}
	})
}
