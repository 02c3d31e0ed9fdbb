package caddymodule

import (
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// What happened is told with the browser, which is kept as a number: every family that we know must have one.
func TestEveryBrowserFamilyCanBeTold(t *testing.T) {
	for family, agent := range map[string]string{
		"Edge": "Mozilla/5.0 Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Opera": "Mozilla/5.0 Chrome/140.0.0.0 Safari/537.36 OPR/120.0.0.0",
		"Samsung Internet": "Mozilla/5.0 (Linux; Android 15) SamsungBrowser/28.0 Chrome/140.0.0.0 Mobile Safari/537.36",
		"Firefox":          "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Chrome": "Mozilla/5.0 Chrome/140.0.0.0 Safari/537.36",
		"Safari": "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15", "": "curl/8.0",
	} {
		a := policy.Account{}
		a.Note(policy.ContactVerified, "ann@example.com", browserFamily(agent), time.Now())
		if got := a.Lately()[0].BrowserName(); got != family {
			t.Errorf("%q is told as %q", family, got)
		}
	}
}
