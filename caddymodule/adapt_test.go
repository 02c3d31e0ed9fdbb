package caddymodule

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/contactgate/contactgate/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

const divider = "\n----------\n"

// TestAdapt compares what becomes of the Caddyfiles in testdata/adapt: JSON, or the text of the error.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(golden), divider)
			got := adapted(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimRight(input, "\n")+"\n"+divider[1:]+got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if strings.TrimSpace(want) != got {
				t.Errorf("run with -update if this is right; got:\n%s", got)
			}
		})
	}
}

// adapted is the JSON of a Caddyfile, indented, or the text of the error.
func adapted(t *testing.T, input string) string {
	t.Helper()
	text, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err.Error()
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Errorf("warning: %s", w)
		}
	}
	var config any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return string(pretty)
}

// TestCaddyfileRefuses: every refusal names file and line, the word, and what to write.
func TestCaddyfileRefuses(t *testing.T) {
	const global, site = "global", "site"
	tests := []struct{ where, lines, want string }{
		// unknown, misplaced, repeated
		{global, "grase 7d", `Caddyfile:3: contactgate: unknown word "grase"`},
		{site, "grase 7d", `Caddyfile:3: contactgate: unknown word "grase"`},
		{global, "grace 7d\ngrace 8d", "Caddyfile:4: contactgate: grace is given twice; keep one"},
		{site, "realm a\nrealm b", "Caddyfile:4: contactgate: realm is given twice; keep one"},
		{global, "realm a", "Caddyfile:3: realm belongs to a site; move it into that site's contactgate block"},
		{global, "exempt_users a", "Caddyfile:3: exempt_users belongs to a site"},
		{site, "store bolt", "Caddyfile:3: store is shared by all sites; move it into the contactgate block of the global options"},
		{site, "email outbox", "Caddyfile:3: email is shared by all sites"},
		{site, "sms outbox", "Caddyfile:3: sms is shared by all sites"},
		{site, "voice outbox", "Caddyfile:3: voice is shared by all sites"},
		{global, "sms", "Caddyfile:3"},
		{global, "sms outbox\nsms outbox", "Caddyfile:4: contactgate: sms is given twice"},
		{global, "sms http", "Caddyfile:3: http: write the address of the provider's API"},
		{global, "sms http https://a.example b", "Caddyfile:3: http: write the address"},
		{global, "sms http https://a.example {\n\ttoken x\n}", `Caddyfile:4: http: unknown word "token"`},
		{global, "sms http https://a.example {\n\tsecret a\n\tsecret b\n}", "Caddyfile:5: http: secret is given twice"},
		{global, "sms http https://a.example {\n\theader X-A\n}", "Caddyfile:4: http header: write the name and the value"},
		{global, "sms http https://a.example {\n\theader x-a 1\n\theader X-A 2\n}", "Caddyfile:5: http: header X-A is given twice"},
		{site, "admin_anywhere", "Caddyfile:3: admin_anywhere is shared by all sites"},
		{global, "admin_anywhere yes", "Caddyfile:3"},
		{site, "keys abc", "Caddyfile:3: keys is shared by all sites"},
		{global, "store bolt\nstore bolt", "Caddyfile:4: contactgate: store is given twice"},

		// too few, too many
		{global, "grace", "Caddyfile:3"},
		{global, "grace 7d 8d", "Caddyfile:3"},
		{global, "store", "Caddyfile:3"},
		{global, "store bolt a b", "Caddyfile:3"},
		{global, "store bolt {\n\tpath\n}", "Caddyfile:4"},
		{global, "store bolt a {\n\tpath b\n}", "Caddyfile:4: store bolt: the path is given twice; keep one"},
		{global, "store bolt {\n\tfolder b\n}", `Caddyfile:4: store bolt: unknown word "folder"`},
		{global, "keys", "Caddyfile:3"},
		{global, `keys ""`, "Caddyfile:3: keys: the argument is empty"},
		{global, "languages", "Caddyfile:3"},
		{global, "languages en en", `Caddyfile:3: languages names "en" twice`},
		{global, "support", "Caddyfile:3"},
		{global, "limits 5", "Caddyfile:3"},
		{global, "brand", "Caddyfile:3: brand names nothing"},
		{global, `brand ""`, "Caddyfile:3: brand takes one name"},
		{global, "brand Example Inc", "Caddyfile:3: brand takes one name, in quotes if it has blanks"},
		{global, "brand Example {\n\tlink Privacy\n}", "Caddyfile:4: brand link: write the words and the address"},
		{global, "email smtp x", "Caddyfile:3"},
		{global, "email smtp {\n\tsubject en\n}", "Caddyfile:4: email smtp subject: write the language and the subject"},
		{global, "email smtp {\n\tsubject en A\n\tsubject en B\n}", "Caddyfile:5: email smtp: subject en is given twice"},
		{global, "email smtp {\n\tfrom a@b.example\n\tfrom a@b.example\n}", "Caddyfile:5: email smtp: from is given twice"},
		{global, "email smtp {\n\thost a\n}", `Caddyfile:4: email smtp: unknown word "host"`},
		{global, "email outbox a b", "Caddyfile:3: outbox takes at most a name"},
		{site, "identity", "Caddyfile:3"},
		{site, "identity {http.auth.user.id} b", "Caddyfile:3"},
		{site, "identity {http.auth.user.id} {\n\tmail x\n}", `Caddyfile:4: identity: unknown word "mail"`},
		{site, "identity {http.auth.user.id} {\n\temail {http.vars.a}\n\temail {http.vars.b}\n}", "Caddyfile:5: identity: email is given twice"},
		{site, "exempt {\n}", "Caddyfile:4: exempt names no matcher"},
		{site, "exempt {\n\tpaht /x\n}", "Caddyfile:5: getting matcher module 'paht'"},
		{site, "exempt_users", "Caddyfile:3"},
		{site, "exempt_groups a a", `Caddyfile:3: exempt_groups names "a" twice`},
		{site, "pass_headers", "Caddyfile:3"},
		{site, "grace 7d {\n\tx\n}", `contactgate: unknown word "{"`},

		// bad values
		{global, "grace soon", `Caddyfile:3: grace "soon": write a duration of at least 1s`},
		{global, "grace 0s", `Caddyfile:3: grace "0s": write a duration`},
		{global, "grace off", `Caddyfile:3: grace "off": write a duration`},
		{global, "unseen -1h", "Caddyfile:3: unseen"},
		{global, "ask_every 1ms", "Caddyfile:3: ask_every"},
		{global, "replacement_hold x", "Caddyfile:3: replacement_hold"},
		{global, "reconfirm never", `Caddyfile:3: reconfirm "never"`},
		{global, "mode strict", `Caddyfile:3: mode "strict": use enforce, remind or observe`},
		{global, "rollout 25", `Caddyfile:3: rollout "25": write a percentage, such as 25%`},
		{global, "rollout 101%", "Caddyfile:3: rollout 101%: use 0% to 100%"},
		{global, "rollout 0.001%", "Caddyfile:3: rollout 0.001%: use 0% to 100%, with two decimals at most"},
		{global, "rollout NaN%", "Caddyfile:3: rollout NaN%"},
		{global, "support help@example.com", "Caddyfile:3: support"},
		{global, "support javascript:alert(1)", "Caddyfile:3: support"},
		{global, "sign_out logout", `Caddyfile:3: sign_out "logout": use a path`},
		{global, "sign_out //evil.example/x", "Caddyfile:3: sign_out"},
		{global, "sign_out javascript:x", "Caddyfile:3: sign_out"},
		{global, "brand Example {\n\tlink Privacy privacy\n}", `Caddyfile:4: brand link "Privacy" "privacy": name it, and use an https:// URL or a path`},
		{global, "brand Example {\n\tlink Privacy javascript:x\n}", "Caddyfile:4: brand link"},
		{global, "brand Example {\n\tlink Privacy //evil.example\n}", "Caddyfile:4: brand link"},
		{global, "brand Example {\n\tlink \" \" /privacy\n}", "Caddyfile:4: brand link"},
		{global, "time_zone Mars/Olympus", `Caddyfile:3: time_zone "Mars/Olympus": use an IANA name`},
		{global, "device_code yes", `Caddyfile:3: device_code "yes": use on or off`},
		{global, "device_code", "Caddyfile:3"},
		{global, "device_code on off", "Caddyfile:3"},
		{global, "trust", "Caddyfile:3"},
		{global, "trust forever", `Caddyfile:3: trust "forever": write a duration of at least 1s`},
		{global, "trust 500d", "Caddyfile:3: trust 12000h0m0s: use 1s to 400d; browsers keep no cookie for longer"},
		{global, "trust 30d 20", "Caddyfile:3: trust 20: use trust <duration> [unused <duration>] [most <number>]"},
		{global, "trust 30d unused", "Caddyfile:3"},
		{global, "trust 30d unused 0s", `Caddyfile:3: trust unused "0s": write a duration`},
		{global, "trust 30d unused 1d unused 2d", "Caddyfile:3: trust: unused is given twice; keep one"},
		{global, "trust 30d most many", `Caddyfile:3: trust most "many": write a whole number`},
		{global, "trust 30d most 0", "Caddyfile:3: trust most 0: use 1 to 100"},
		{global, "limits {\n\tcode_tries 6\n}", "Caddyfile:4: limits code_tries 6: use 1 to 5"},
		{global, "limits {\n\tcode_tries 0\n}", "Caddyfile:4: limits code_tries 0"},
		{global, "limits {\n\tcode_tries many\n}", `Caddyfile:4: limits code_tries "many": write a whole number`},
		{global, "limits {\n\tcode_lifetime 25h\n}", "Caddyfile:4: limits code_lifetime 25h0m0s: use 1s to 24h"},
		{global, "limits {\n\tresend_after 60s 0s\n}", `Caddyfile:4: resend_after "0s"`},
		{global, "limits {\n\tresend_after\n}", "Caddyfile:4"},
		{global, "limits {\n\tguesses 5\n}", `Caddyfile:4: limits: unknown word "guesses"`},
		{global, "limits {\n\tcontacts 5\n\tcontacts 5\n}", "Caddyfile:5: limits: contacts is given twice"},
		{site, "prefix gate", `Caddyfile:3: prefix "gate": use a plain path`},
		{site, "prefix /gate/", "Caddyfile:3: prefix"},
		{site, "prefix /a/../b", "Caddyfile:3: prefix"},
		{site, "prefix /", "Caddyfile:3: prefix"},
		{site, "prefix /*", "Caddyfile:3: prefix"},
		{site, "origin app.example.com", "Caddyfile:3: origin"},
		{site, "origin https://app.example.com/", "Caddyfile:3: origin"},
		{site, "origin https://App.example.com", "Caddyfile:3: origin"},
		{site, "origin https://app.example.com:443", "Caddyfile:3: origin"},
		{site, "origin https://me@app.example.com", "Caddyfile:3: origin"},
		{site, "user_case lower", `Caddyfile:3: user_case "lower": use keep or fold`},
		{site, "pass_headers name", `Caddyfile:3: pass_headers "name": use email, phone or both`},
		{global, "store mysql", "Caddyfile:3: store mysql: there is no module contactgate.stores.mysql in this build"},
		{global, "store redis", "Caddyfile:3: wrong argument count"},
		{global, "store redis 10.0.0.5:6379", "Caddyfile:3: store redis: the URL must begin with redis://"},
		{global, "store redis redis://", "Caddyfile:3: store redis: the URL names no host"},
		{global, "store redis redis://10.0.0.5?db=1", `Caddyfile:3: store redis: options in the URL ("?") are not known`},
		{global, "store redis redis://u:%zz@10.0.0.5", "Caddyfile:3: store redis: user and password in the URL need their special characters written as %XX"},
		{global, "store redis sentinel redis://s1:26379", "Caddyfile:3: store redis sentinel: name the master and the Sentinels"},
		{global, "store redis standalone redis://a", "Caddyfile:3: wrong argument count"},
		{global, "store redis redis://u:p@a {\nusername u\n}", "Caddyfile:5: store redis: the login is in the URL and in the block"},
		{global, "store redis redis://a {\nca /x.pem\n}", "Caddyfile:5: store redis: ca, certificate and server_name are for TLS"},
		{global, "store redis redis://a {\nsentinel_password p\n}", "Caddyfile:5: store redis: sentinel_username and sentinel_password are for"},
		{global, "store redis rediss://a {\ncertificate /x.pem\n}", "Caddyfile:4: wrong argument count"},
		{global, "store redis redis://a {\nnamespace a{b}\n}", "Caddyfile:5: store redis: the namespace \"a{b}\" must be"},
		{global, "store redis redis://a {\npasswort p\n}", `Caddyfile:4: store redis: unknown word "passwort"`},
		{site, "identity ldap", "Caddyfile:3: identity ldap: there is no module contactgate.identities.ldap in this build"},

		// phones
		{site, "channels JP sms", "Caddyfile:3: channels is shared by all sites; move it into the contactgate block of the global options"},
		{site, "lossy_domains docomo.ne.jp", "Caddyfile:3: lossy_domains is shared by all sites"},
		{global, "channels", "Caddyfile:3"},
		{global, "channels JP", "Caddyfile:3: channels JP: add sms, voice or both"},
		{global, "channels sms voice", "Caddyfile:3: channels sms voice: name the countries first: channels JP sms voice"},
		{global, "channels UK sms", `Caddyfile:3: channels UK sms: "UK" is no country; use ISO 3166 codes in capitals, such as JP, US or GB`},
		{global, "channels jp sms", `Caddyfile:3: channels jp sms: "jp" is no country`},
		{global, "channels JP fax", `Caddyfile:3: channels JP fax: "fax" is no country; use ISO 3166 codes in capitals, such as JP, US or GB, and the channels sms and voice`},
		{global, "channels JP sms sms", "Caddyfile:3: channels JP sms sms: use sms, voice or both, each once"},
		{global, "channels JP US JP sms", "Caddyfile:3: channels JP US JP sms: JP is given twice; keep one"},
		{global, "channels JP sms\nchannels US JP voice", "Caddyfile:4: channels US JP voice: JP is given twice; keep one"},
		{global, "lossy_domains", "Caddyfile:3"},
		{global, "lossy_domains docomo", `Caddyfile:3: lossy_domains "docomo": use domains (docomo.ne.jp) or all below one (*.pdx.ne.jp); "off" alone warns of none`},
		{global, "lossy_domains @docomo.ne.jp", `Caddyfile:3: lossy_domains "@docomo.ne.jp": use domains`},
		{global, "lossy_domains docomo.ne.jp off", `Caddyfile:3: lossy_domains "off": use domains`},
		{global, "lossy_domains au.com au.com", `Caddyfile:3: lossy_domains names "au.com" twice`},
		{global, "proof last5", `Caddyfile:3: proof "last5": use last4 or whole`},
		{global, "proof", "Caddyfile:3"},

		// not yet
		{global, "sms twilio x", "Caddyfile:3"},
		{global, "sms twilio {\n\tsid x\n}", `Caddyfile:4: twilio: unknown word "sid"`},
		{global, "sms twilio {\n\tfrom\n}", "Caddyfile:4"},
		{site, "identity jwt", "Caddyfile:3: identity jwt is not in this version yet"},
		{site, "identity whoami http://127.0.0.1:3000/user", "Caddyfile:3: identity whoami is not in this version yet"},
	}
	for _, word := range []string{"webhook https://x.example y", "app_api unix//x y", "dkim_selector x"} {
		name, _, _ := strings.Cut(word, " ")
		tests = append(tests, struct{ where, lines, want string }{global, word, "Caddyfile:3: " + name + " is not in this version yet; remove the line"})
		tests = append(tests, struct{ where, lines, want string }{site, word, "Caddyfile:3: " + name + " is not in this version yet; remove the line"})
	}
	for _, tt := range tests {
		t.Run(tt.where+" "+tt.lines, func(t *testing.T) {
			head, foot := "{\n\tcontactgate {\n", "\n\t}\n}\n:80\n"
			if tt.where == site {
				head, foot = ":80 {\n\tcontactgate {\n", "\n\t}\n}\n"
			}
			got := adapted(t, head+tt.lines+foot)
			line, text, _ := strings.Cut(tt.want, ": ")
			if strings.HasPrefix(got, "{") || !strings.Contains(got, text) || !strings.Contains(got, line) {
				t.Errorf("got %.300s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestGlobalOptionOnlyOnce(t *testing.T) {
	got := adapted(t, "{\n\tcontactgate {\n\t\tgrace 1d\n\t}\n\tcontactgate {\n\t\tgrace 2d\n\t}\n}\n")
	if !strings.Contains(got, "the global option is given twice; keep one, at Caddyfile:5") {
		t.Error(got)
	}
}

// TestLimitsMirrorPolicy: every figure of policy.Limits has a word, and the word reaches the figure.
func TestLimitsMirrorPolicy(t *testing.T) {
	block := `limits {
		code_lifetime 11m
		code_tries 4
		wrong_per_day 1
		wrong_in_a_row 2
		proof_tries 3
		proof_tries_total 4
		resend_after 61s 3m
		sends_per_hour 6
		sends_per_day 7
		sends_per_address 8
		sends_per_ip 9
		typed_sends_per_ip 10
		voice_per_day 11
		country_budget 12
		total_budget 13
		contacts 14
		contacts_per_day 15
		authenticator_tries 16
		last4_tries 17
		last4_tries_total 18
	}`
	var limits Limits
	d := caddyfile.NewTestDispenser(block)
	d.Next()
	if err := limits.UnmarshalCaddyfile(d); err != nil {
		t.Fatal(err)
	}
	var got policy.Limits
	limits.apply(&got)
	want := policy.Limits{
		CodeLifetime: 11 * minute, CodeTries: 4, WrongPerDay: 1, WrongInARow: 2, ProofTries: 3, ProofTriesTotal: 4,
		ResendAfter: []duration{61 * second, 3 * minute}, SendsPerHour: 6, SendsPerDay: 7, SendsPerAddress: 8, SendsPerIP: 9,
		TypedSendsPerIP: 10, VoicePerDay: 11, CountryBudget: 12, TotalBudget: 13, Contacts: 14, ContactsPerDay: 15,
		AuthenticatorTries: 16, Last4Tries: 17, Last4TriesTotal: 18,
	}
	if !sameJSON(t, got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if missing := zeroFields(got); len(missing) > 0 {
		t.Errorf("policy.Limits has figures without a word: %v", missing)
	}
}

// TestSiteOverridesSingleWords: what a site does not say stays as it is for all.
func TestSiteOverridesSingleWords(t *testing.T) {
	day := func(n int) *caddy.Duration { d := caddy.Duration(n) * caddy.Duration(24*hour); return &d }
	n := 3
	yes, no := true, false
	base := &Settings{DeviceCode: &yes, Trust: &Trust{For: day(90), Most: &n}, Grace: day(1), Unseen: day(2), Brand: &Brand{Name: "All", Accent: "#123456"}, Limits: &Limits{CodeTries: &n}, Languages: []string{"ja"}}
	m := 9
	got := (&Settings{DeviceCode: &no, Trust: &Trust{For: day(30)}, Grace: day(5), Brand: &Brand{Name: "One"}, Limits: &Limits{Contacts: &m}}).over(base)
	want := &Settings{DeviceCode: &no, Trust: &Trust{For: day(30), Most: &n}, Grace: day(5), Unseen: day(2), Brand: &Brand{Name: "One", Accent: "#123456"}, Limits: &Limits{CodeTries: &n, Contacts: &m}, Languages: []string{"ja"}}
	if !sameJSON(t, got, want) {
		t.Errorf("got %+v", got)
	}
	rules, err := got.rules()
	if err != nil || rules.Grace != 5*24*hour || rules.Limits.CodeTries != 3 || rules.Limits.Contacts != 9 || rules.AskEvery != policy.Defaults().AskEvery ||
		rules.DeviceCode || rules.Trust != (policy.Trust{For: 30 * 24 * hour, Unused: policy.Defaults().Trust.Unused, Most: 3}) {
		t.Errorf("rules %+v, %v", rules, err)
	}
}

// TestAllErrorsAtOnce: an operator who made three mistakes reads of three.
func TestAllErrorsAtOnce(t *testing.T) {
	zero, ten := new(caddy.Duration), 10
	s := &Settings{Grace: zero, Mode: "loose", Limits: &Limits{CodeTries: &ten}}
	_, err := s.rules()
	for _, want := range []string{"grace 0s", `mode "loose"`, "limits code_tries 10"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
