package contactgate

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/contactgate/contactgate"

// folder says what a package may import.
type folder struct {
	// ours are packages of this module, others are prefixes of other modules' packages. The standard library is free,
	// but for what is pure.
	ours, others []string
	// pure: no network, disk, clock, randomness. Those come in as arguments.
	pure bool
	why  string
}

// The one rule of architecture.md. A package that is not here is refused: say first what it may import, and why.
var folders = map[string]folder{
	".":      {ours: []string{"caddymodule"}, why: "xcaddy imports the module's root"},
	"policy": {pure: true, why: "it decides: whoever wants to know why reads this and nothing else"},
	"pages": {ours: []string{"policy"}, others: []string{"golang.org/x/text/", "github.com/nicksnyder/go-i18n/", "rsc.io/qr"}, pure: true,
		why: "it shows what it is given, so that every page can be rendered in a test; qr says which squares of a code are black"},
	"internal/store": {others: []string{"go.etcd.io/bbolt", "golang.org/x/sys/", "github.com/redis/go-redis/"},
		why: "it keeps bytes and knows nothing of accounts, so that a second store needs no second set of rules"},
	"internal/store/storetest": {ours: []string{"internal/store"}, others: []string{"pgregory.net/rapid", "github.com/anishathalye/porcupine"}, why: "the contract that any store must pass"},
	"internal/store/redistest": {ours: []string{"internal/testbed"}, others: []string{"github.com/redis/go-redis/"}, why: "real Redis servers for tests"},
	"internal/testbed":         {why: "what tests have to know of the machine that they run on"},
	"internal/delivery": {ours: []string{"policy", "pages"}, others: []string{"github.com/wneessen/go-mail", "github.com/sony/gobreaker/", "github.com/standard-webhooks/", "golang.org/x/net/http/httpguts", "golang.org/x/text/language"},
		why: "it words messages with the pages' catalogs and hands them over; it knows no account"},
	"internal/delivery/smtptest": {others: []string{"github.com/emersion/"}, why: "a mail server for tests"},
	"internal/verify": {ours: []string{"policy", "internal/store"},
		others: []string{"golang.org/x/crypto/", "golang.org/x/net/idna", "golang.org/x/text/", "github.com/fxamacker/cbor/", "golang.org/x/sync/singleflight", "github.com/pquerna/otp", "github.com/nyaruka/phonenumbers"},
		why:    "the use cases: it knows neither pages nor carriers, which come in as interfaces; otp has the arithmetic of RFC 6238; phone.go alone knows the library of numbers (6 MB of numbering plans)"},
	"internal/identity": {others: []string{"golang.org/x/text/"}, why: "who a user ID names"},
	"internal/demo": {ours: []string{"policy", "pages", "internal/delivery", "internal/verify", "internal/store"},
		why: "a sign-in and an app to try the gate with; the product does not depend on it, only the command does"},
	"caddymodule": {ours: []string{"policy", "pages", "internal/store", "internal/delivery", "internal/verify", "internal/identity", "internal/demo"},
		others: []string{caddy, "github.com/caddyserver/certmagic", "github.com/prometheus/client_golang/", "github.com/spf13/cobra", "github.com/gorilla/securecookie", "go.uber.org/zap", "golang.org/x/"},
		why:    "it alone speaks Caddy, and wires the rest"},
	"cmd/contactgate": {ours: []string{"caddymodule"}, others: []string{caddy}, why: "Caddy's main with this module in it"},
}

const caddy = "github.com/caddyserver/caddy/v2"

// impure are packages and functions of the standard library that reach out of a pure package.
var (
	impurePackages  = []string{"os", "net", "crypto/rand", "math/rand", "math/rand/v2", "syscall", "log", "database/sql", "plugin", "unsafe"}
	impureFunctions = map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "LoadLocation"},
		"slog": {"Default", "Debug", "Info", "Warn", "Error", "Log", "With"},
		"http": {"Get", "Post", "Head", "PostForm", "DefaultClient"},
	}
)

// TestImportsPointOneWay holds who may import whom.
func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		seen[dir] = true
		for _, fault := range faults(dir, filepath.Base(name), string(source)) {
			t.Errorf("%s: %s", name, fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, f := range folders {
		if !seen[dir] {
			t.Errorf("%s is gone; take it off the list", dir)
		}
		if f.why == "" {
			t.Errorf("%s: say why", dir)
		}
	}
}

// faults are what a file imports and must not.
func faults(dir, name, source string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	rules, known := folders[dir]
	var found []string
	test := strings.HasSuffix(name, "_test.go")
	if !known && !test {
		return []string{dir + " is a new package: add it to the folders of imports_test.go, with what it may import and why"}
	}
	for _, spec := range file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		// Tests may use what they like, except Caddy: what needs Caddy to be tested is in the wrong package.
		if test && (!under(target, caddy) || slices.ContainsFunc(rules.others, func(o string) bool { return under(target, o) })) {
			continue
		}
		if !rules.allow(target) {
			found = append(found, fmt.Sprintf("must not import %s (%s)", target, rules.why))
		}
	}
	if rules.pure && !test {
		found = append(found, impureCalls(file)...)
	}
	return found
}

func (f folder) allow(target string) bool {
	if ours, ok := strings.CutPrefix(target, module+"/"); ok {
		return slices.Contains(f.ours, ours)
	}
	first, _, _ := strings.Cut(target, "/")
	if !strings.Contains(first, ".") { // the standard library
		return !f.pure || !slices.Contains(impurePackages, target)
	}
	return slices.ContainsFunc(f.others, func(o string) bool { return under(target, o) })
}

// under tells whether a package is another one or below it; a prefix with a slash at its end means what is below.
func under(target, prefix string) bool {
	return target == prefix || strings.HasPrefix(target, strings.TrimSuffix(prefix, "/")+"/")
}

// impureCalls finds functions that make a result depend on more than the arguments.
func impureCalls(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if from, ok := s.X.(*ast.Ident); ok && slices.Contains(impureFunctions[from.Name], s.Sel.Name) {
				found = append(found, fmt.Sprintf("must not use %s.%s: it is pure, so the moment comes in as an argument", from.Name, s.Sel.Name))
			}
		}
		return true
	})
	return found
}

// TestBrokenRulesAreFound shows that the test above goes red.
func TestBrokenRulesAreFound(t *testing.T) {
	importing := func(target string) string { return "package x\nimport _ \"" + target + "\"\n" }
	tests := map[string]struct {
		dir, name, source string
		found             bool
	}{
		"policy takes Caddy":              {"policy", "x.go", importing(caddy), true},
		"policy takes a library":          {"policy", "x.go", importing("golang.org/x/text/language"), true},
		"policy takes pages":              {"policy", "x.go", importing(module + "/pages"), true},
		"policy takes the disk":           {"policy", "x.go", importing("os"), true},
		"policy takes randomness":         {"policy", "x.go", importing("crypto/rand"), true},
		"policy asks the clock":           {"policy", "x.go", "package x\nimport \"time\"\nvar x = time.Now()\n", true},
		"policy counts time":              {"policy", "x.go", "package x\nimport \"time\"\nvar x = 3 * time.Second\n", false},
		"policy hashes":                   {"policy", "x.go", importing("crypto/sha256"), false},
		"pages take policy":               {"pages", "x.go", importing(module + "/policy"), false},
		"pages take delivery":             {"pages", "x.go", importing(module + "/internal/delivery"), true},
		"pages ask the clock":             {"pages", "x.go", "package x\nimport \"time\"\nvar x = time.Since\n", true},
		"pages take Caddy":                {"pages", "x.go", importing(caddy + "/caddyconfig"), true},
		"the store takes policy":          {"internal/store", "x.go", importing(module + "/policy"), true},
		"verify takes pages":              {"internal/verify", "x.go", importing(module + "/pages"), true},
		"verify takes Caddy's storage":    {"internal/verify", "x.go", importing("github.com/caddyserver/certmagic"), true},
		"verify takes a store":            {"internal/verify", "x.go", importing(module + "/internal/store"), false},
		"delivery takes verify":           {"internal/delivery", "x.go", importing(module + "/internal/verify"), true},
		"the module takes verify":         {"caddymodule", "x.go", importing(module + "/internal/verify"), false},
		"the module takes Caddy":          {"caddymodule", "x.go", importing(caddy + "/modules/caddyhttp"), false},
		"cmd takes verify":                {"cmd/contactgate", "x.go", importing(module + "/internal/verify"), true},
		"a new package":                   {"internal/util", "x.go", "package util\n", true},
		"a test of policy takes rapid":    {"policy", "x_test.go", importing("pgregory.net/rapid"), false},
		"a test of policy asks the clock": {"policy", "x_test.go", "package x\nimport \"time\"\nvar x = time.Now()\n", false},
		"a test of verify takes Caddy":    {"internal/verify", "x_test.go", importing(caddy), true},
		"a test of the module takes all":  {"caddymodule", "x_test.go", importing(caddy + "/modules/standard"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if found := faults(tt.dir, tt.name, tt.source); tt.found != (len(found) > 0) {
				t.Errorf("got %q", found)
			}
		})
	}
}
