package negotiate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
)

// A krb5conf is what krb5.conf says, with the files that it includes, as far as
// it is used here. gokrb5 reads one file, takes the last section of a name, and
// refuses all of it for a value that it does not know, though stock files of
// distributions have such.
type krb5conf struct {
	defaults [][2]string         // [libdefaults], in lower case
	sections map[string][]string // the lines of the others
}

// readConfig reads the files that path or KRB5_CONFIG names, else /etc/krb5.conf.
// Of several those count that exist; the error is fs.ErrNotExist if none does, and
// none was named.
func readConfig(path string) (*krb5conf, error) {
	paths := []string{path}
	named := path != ""
	if !named {
		paths = filepath.SplitList(os.Getenv("KRB5_CONFIG"))
		named = len(paths) > 0
	}
	if !named {
		paths = []string{"/etc/krb5.conf"}
	}
	conf := &krb5conf{sections: make(map[string][]string)}
	found, missing := false, error(nil)
	for _, path := range paths {
		switch err := conf.read(path, 0); {
		case err == nil:
			found = true
		case errors.Is(err, fs.ErrNotExist):
			missing = cmp.Or(missing, err)
		default:
			return nil, fmt.Errorf("krb5.conf: %w", err)
		}
	}
	switch {
	case found:
		return conf, nil
	case named:
		return nil, fmt.Errorf("krb5.conf: %w", missing)
	}
	return nil, fs.ErrNotExist
}

// maxIncludes bounds how deep files include others.
const maxIncludes = 8

// included are the names that includedir takes, as MIT does.
var included = regexp.MustCompile(`^[A-Za-z0-9_-]+$|^[^.].*\.conf$`)

func (c *krb5conf) read(path string, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%s: files include each other", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	section, nested := "", 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		line = strings.TrimSpace(line)
		directive, file := line, ""
		if i := strings.IndexAny(line, " \t"); i > 0 {
			directive, file = line[:i], strings.TrimSpace(line[i:])
		}
		switch {
		case line == "", line[0] == '#', line[0] == ';':
		case directive == "include":
			err = c.read(file, depth+1)
		case directive == "includedir":
			err = c.readDir(file, depth+1)
		case line[0] == '[':
			section, _, _ = strings.Cut(strings.ToLower(line[1:]), "]")
			nested = 0
		case section == "libdefaults":
			key, value, isSetting := strings.Cut(line, "=")
			switch {
			case strings.HasSuffix(line, "{"):
				nested++ // settings of one realm, or of one program
			case line[0] == '}':
				nested--
			case isSetting && nested <= 0:
				c.defaults = append(c.defaults, [2]string{strings.ToLower(strings.TrimSpace(key)), unquoted(value)})
			}
		default:
			c.sections[section] = append(c.sections[section], line)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // of an included one
			return err
		}
	}
	return nil
}

func (c *krb5conf) readDir(dir string, depth int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !included.MatchString(entry.Name()) || entry.IsDir() {
			continue
		}
		if err := c.read(filepath.Join(dir, entry.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// unquoted returns a value without quotation marks around it, or what follows it.
func unquoted(value string) string {
	if i := strings.IndexAny(value, "#;"); i >= 0 {
		value = value[:i]
	}
	value = strings.TrimSpace(value)
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	return value
}

// setting returns the value of [libdefaults] for a key, the first one.
func (c *krb5conf) setting(key string) (value string, found bool) {
	i := slices.IndexFunc(c.defaults, func(s [2]string) bool { return s[0] == key })
	if i < 0 {
		return "", false
	}
	return c.defaults[i][1], true
}

// loadConfig reads krb5.conf into the form of gokrb5. KDCs that it does not name
// are looked up in the DNS, unless it says otherwise.
func loadConfig(path string) (*config.Config, error) {
	from, err := readConfig(path)
	switch {
	case err == fs.ErrNotExist:
		from = &krb5conf{}
	case err != nil:
		return nil, err
	}
	var b strings.Builder
	b.WriteString("[libdefaults]\ndns_lookup_kdc = true\n")
	var seen []string
	for _, s := range from.defaults {
		if slices.Contains(seen, s[0]) {
			continue
		}
		seen = append(seen, s[0])
		line := s[0] + " = " + inWords(s[0], s[1]) + "\n"
		if _, err := config.NewFromString("[libdefaults]\n" + line); err == nil {
			b.WriteString(line)
		}
	}
	for _, section := range []string{"realms", "domain_realm"} {
		lines := strings.Join(from.sections[section], "\n")
		fmt.Fprintf(&b, "[%s]\n%s\n", section, kdcPort.ReplaceAllString(lines, "${1}:88"))
	}
	conf, err := config.NewFromString(b.String())
	if err != nil && !errors.As(err, new(config.UnsupportedDirective)) {
		return nil, fmt.Errorf("krb5.conf: %w", err)
	}
	// gokrb5's defaults are older than RFC 8009.
	for setting, ids := range map[string]*[]int32{
		"default_tkt_enctypes": &conf.LibDefaults.DefaultTktEnctypeIDs,
		"default_tgs_enctypes": &conf.LibDefaults.DefaultTGSEnctypeIDs,
		"permitted_enctypes":   &conf.LibDefaults.PermittedEnctypeIDs,
	} {
		if !slices.Contains(seen, setting) {
			*ids = append(*ids, etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128)
		}
	}
	return conf, nil
}

// kdcPort finds the address of a KDC in brackets without a port, which gokrb5 adds
// to names only.
var kdcPort = regexp.MustCompile(`(?m)^(\s*kdc\s*=\s*\[[^\]]*\])\s*$`)

// inWords returns a value in the words that gokrb5 knows.
func inWords(key, value string) string {
	if strings.HasSuffix(key, "_enctypes") {
		return strings.ReplaceAll(value, ",", " ")
	}
	switch strings.ToLower(value) {
	case "on":
		return "true"
	case "off", "nil":
		return "false"
	}
	return value
}

// cacheName returns the default_ccache_name of krb5.conf, "" if it has none.
func cacheName(configPath string) string {
	from, err := readConfig(configPath)
	if err != nil {
		return ""
	}
	name, _ := from.setting("default_ccache_name")
	login := ""
	if u, err := user.Current(); err == nil {
		login = u.Username
	}
	uid := strconv.Itoa(os.Getuid())
	return strings.NewReplacer("%{uid}", uid, "%{USERID}", uid, "%{euid}", strconv.Itoa(os.Geteuid()),
		"%{username}", login, "%{TEMP}", os.TempDir(), "%{null}", "").Replace(name)
}
