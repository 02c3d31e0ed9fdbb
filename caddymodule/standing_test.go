package caddymodule

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// validated loads a Caddyfile as "caddy validate" does, and returns its error and what was logged.
func validated(t *testing.T, input string) (logged string, err error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("adapting: %v\n%s", err, input)
	}
	return validatedJSON(t, dir, text)
}

func validatedJSON(t *testing.T, dir string, text []byte) (logged string, err error) {
	t.Helper()
	var config caddy.Config
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {
		BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "file", "filename": "` + log + `", "roll": false}`)},
	}}}
	config.StorageRaw = json.RawMessage(`{"module": "file_system", "root": "` + filepath.Join(dir, "storage") + `"}`)
	err = caddy.Validate(&config)
	lines, _ := os.ReadFile(log)
	// Caddy itself makes a folder for an internal CA.
	for _, made := range []string{"data", "storage/contactgate"} {
		if _, stat := os.Stat(filepath.Join(dir, made)); stat == nil {
			t.Errorf("validating made %q", made)
		}
	}
	return string(lines), err
}

// withMail is the least that lets a gate load.
const withMail = `{
	contactgate {
		email outbox
	}
}
`

const authelia = `
	forward_auth authelia:9091 {
		uri /api/authz/forward-auth
		copy_headers Remote-User Remote-Email
	}`

const byForwardAuth = `
	contactgate {
		identity {header.Remote-User} {
			email {header.Remote-Email}
			set_by forward_auth
		}
	}`

// TestRefusedAtLoad: what only shows between handlers, and names server, host and handler.
func TestRefusedAtLoad(t *testing.T) {
	tests := map[string]struct {
		config string
		want   []string // empty: it loads
	}{
		"a gate": {withMail + "app.example.com {\ncontactgate\nreverse_proxy app:3000\n}", nil},

		"no sender":                    {"app.example.com {\ncontactgate\n}", []string{"email: there is no sender", "email smtp { … }", "mode observe"}},
		"no sender, only observing":    {"app.example.com {\ncontactgate {\nmode observe\n}\n}", nil},
		"no sender, one site enforces": {"{\ncontactgate {\nmode observe\n}\n}\na.example.com {\ncontactgate\n}\nb.example.com {\ncontactgate {\nmode enforce\n}\n}", []string{"email: there is no sender"}},

		"header without set_by":       {withMail + "app.example.com {" + authelia + "\ncontactgate {\nidentity {header.Remote-User}\n}\n}", []string{"the request header Remote-User can be sent by any client", "set_by forward_auth"}},
		"header for the address only": {withMail + "app.example.com {\ncontactgate {\nidentity {http.auth.user.id} {\nemail {header.Remote-Email}\n}\n}\n}", []string{"Remote-Email can be sent by any client"}},
		"set_by with another value":   {withMail + "app.example.com {\ncontactgate {\nidentity {header.Remote-User} {\nset_by nginx\n}\n}\n}", []string{`identity set_by "nginx": use forward_auth or trusted_proxies`}},
		"set_by without a header":     {withMail + "app.example.com {\ncontactgate {\nidentity {http.auth.user.id} {\nset_by forward_auth\n}\n}\n}", []string{"nothing here is read from a request header; remove the line"}},
		"cookie":                      {withMail + "app.example.com {\ncontactgate {\nidentity {cookie.user}\n}\n}", []string{"a client chooses it"}},
		"query":                       {withMail + "app.example.com {\ncontactgate {\nidentity {query.user}\n}\n}", []string{"a client chooses it"}},
		"candidate":                   {withMail + "app.example.com {\ncontactgate {\nidentity {http.auth.candidate.id}\n}\n}", []string{"names people whose sign-in was refused"}},
		"text around":                 {withMail + "app.example.com {\ncontactgate {\nidentity {http.auth.user.id}@example.com\n}\n}", []string{"use one placeholder"}},
		"client certificate":          {withMail + "app.example.com {\ncontactgate {\nidentity {tls_client_subject}\n}\n}", nil},

		"forward_auth copies it":           {withMail + "app.example.com {" + authelia + byForwardAuth + "\nreverse_proxy app:3000\n}", nil},
		"forward_auth inside handle":       {withMail + "app.example.com {\nhandle /oauth2/* {\nreverse_proxy auth:4180\n}\nhandle {" + authelia + byForwardAuth + "\nreverse_proxy app:3000\n}\n}", nil},
		"no forward_auth":                  {withMail + "app.example.com {" + byForwardAuth + "\n}", []string{"server srv0, app.example.com: contactgate", "no forward_auth before it copies Remote-User", "no forward_auth before it copies Remote-Email", "copy_headers"}},
		"forward_auth copies another":      {withMail + "app.example.com {" + strings.Replace(authelia, "Remote-User Remote-Email", "Remote-Email", 1) + byForwardAuth + "\n}", []string{"no forward_auth before it copies Remote-User"}},
		"copied under another name":        {withMail + "app.example.com {" + strings.Replace(authelia, "Remote-User", "X-User>Remote-User", 1) + byForwardAuth + "\n}", nil},
		"forward_auth behind the gate":     {withMail + "app.example.com {\nroute {" + byForwardAuth + authelia + "\n}\n}", []string{"no forward_auth before it copies Remote-User"}},
		"forward_auth on another site":     {withMail + "a.example.com {" + authelia + "\nreverse_proxy a:1\n}\nb.example.com {" + byForwardAuth + "\n}", []string{"server srv0, b.example.com: contactgate", "no forward_auth"}},
		"forward_auth in a sibling handle": {withMail + "app.example.com {\nhandle /a/* {" + authelia + "\nreverse_proxy a:1\n}\nhandle {" + byForwardAuth + "\n}\n}", []string{"no forward_auth"}},
		"forward_auth for some paths":      {withMail + "app.example.com {" + strings.Replace(authelia, "forward_auth", "forward_auth /app/*", 1) + byForwardAuth + "\n}", []string{"some requests come by without it and keep the Remote-User that a client sent"}},
		"forward_auth with public paths":   {withMail + "app.example.com {\n@auth not path /public/*" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}", []string{"some requests come by without it"}},
		"forward_auth but for our assets":  {withMail + "app.example.com {\n@auth not path /.contactgate/assets/* /.contactgate/notice /.contactgate/notice/*" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}", nil},
		"deleted first":                    {withMail + "app.example.com {\n@auth not path /public/*\nroute {\nrequest_header -Remote-User\nrequest_header -Remote-Email" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}\n}", nil},
		"deleted first, by a pattern":      {withMail + "app.example.com {\n@auth not path /public/*\nroute {\nrequest_header -Remote-*" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}\n}", nil},
		"another pattern":                  {withMail + "app.example.com {\n@auth not path /public/*\nroute {\nrequest_header -X-*" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}\n}", []string{"some requests come by without it"}},
		"deleted for some":                 {withMail + "app.example.com {\n@auth not path /public/*\nroute {\nrequest_header /app/* -Remote-*" + strings.Replace(authelia, "forward_auth", "forward_auth @auth", 1) + byForwardAuth + "\n}\n}", []string{"some requests come by without it"}},
		"deleted behind it":                {withMail + "app.example.com {" + authelia + "\nrequest_header -Remote-User" + byForwardAuth + "\n}", []string{"let nothing after it change the field"}},
		"overwritten behind it":            {withMail + "app.example.com {" + authelia + "\nrequest_header Remote-User {header.X-User}" + byForwardAuth + "\n}", []string{"no forward_auth before it copies Remote-User"}},
		"in a named route":                 {withMail + "&(gated) {" + authelia + byForwardAuth + "\n}\napp.example.com {\ninvoke gated\n}", nil},
		"in a named route, without":        {withMail + "&(gated) {" + byForwardAuth + "\n}\napp.example.com {\ninvoke gated\n}", []string{"server srv0, app.example.com: contactgate", "no forward_auth"}},

		"trusted_proxies":         {strings.Replace(withMail, "{\n", "{\nservers {\ntrusted_proxies static private_ranges\n}\n", 1) + "app.example.com {\ncontactgate {\nidentity {header.X-User} {\nset_by trusted_proxies\n}\n}\n}", nil},
		"trusted_proxies missing": {withMail + "app.example.com {\ncontactgate {\nidentity {header.X-User} {\nset_by trusted_proxies\n}\n}\n}", []string{"server srv0, app.example.com: contactgate", "the server trusts no proxy", "trusted_proxies static"}},
		"trusted_proxies of another server": {strings.Replace(withMail, "{\n", "{\nservers :8443 {\ntrusted_proxies static private_ranges\n}\n", 1) + "app.example.com:8443 {\nrespond ok\n}\napp.example.com {\ncontactgate {\nidentity {header.X-User} {\nset_by trusted_proxies\n}\n}\n}",
			[]string{"the server trusts no proxy"}},

		"behind the app":               {withMail + "app.example.com {\nroute {\nreverse_proxy app:3000\ncontactgate\n}\n}", []string{"server srv0, app.example.com: contactgate stands behind a handler that answers every request (reverse_proxy to app:3000)", "move it before"}},
		"behind the app in a handle":   {withMail + "app.example.com {\nroute {\nhandle {\nreverse_proxy app:3000\n}\ncontactgate\n}\n}", []string{"reverse_proxy to app:3000"}},
		"behind a nested app":          {withMail + "app.example.com {\nroute {\nroute {\nreverse_proxy app:3000\n}\ncontactgate\n}\n}", []string{"reverse_proxy to app:3000"}},
		"behind a file server":         {withMail + "app.example.com {\nroute {\nfile_server\ncontactgate\n}\n}", []string{"(file_server)"}},
		"behind respond":               {withMail + "app.example.com {\nroute {\nrespond hello\ncontactgate\n}\n}", []string{"(respond)"}},
		"behind one of two handles":    {withMail + "app.example.com {\nroute {\nhandle /a/* {\nreverse_proxy a:1\n}\nhandle {\nreverse_proxy b:1\n}\ncontactgate\n}\n}", []string{"stands behind a handler"}},
		"behind a handle that goes on": {withMail + "app.example.com {\nroute {\nhandle /a/* {\nheader X-A b\n}\nhandle {\nreverse_proxy b:1\n}\ncontactgate\n}\n}", nil},
		"behind an app for some":       {withMail + "app.example.com {\nroute {\nreverse_proxy /ws/* app:3000\ncontactgate\nreverse_proxy app:3000\n}\n}", nil},
		"behind an app of a sibling":   {withMail + "app.example.com {\nhandle /a/* {\nreverse_proxy a:1\n}\nhandle {\ncontactgate\nreverse_proxy b:1\n}\n}", nil},
		"order before":                 {"{\norder contactgate after reverse_proxy\ncontactgate {\nemail outbox\n}\n}\napp.example.com {\ncontactgate\nreverse_proxy app:3000\n}", []string{"stands behind a handler"}},

		"inside a path":               {withMail + "app.example.com {\nhandle /app/* {\ncontactgate\nreverse_proxy app:3000\n}\n}", []string{"server srv0, app.example.com: contactgate: its pages under /.contactgate cannot be reached where it stands"}},
		"inside a stripped path":      {withMail + "app.example.com {\nhandle_path /app/* {\ncontactgate\n}\n}", []string{"cannot be reached"}},
		"inside a path with a prefix": {withMail + "app.example.com {\nhandle /app/* {\ncontactgate {\nprefix /app/confirm\n}\n}\n}", nil},
		"inside a wide path":          {withMail + "app.example.com {\nhandle /* {\ncontactgate\n}\n}", nil},
		"inside another case":         {withMail + "app.example.com {\nhandle /APP/* {\ncontactgate {\nprefix /app/confirm\n}\n}\n}", nil},
		"inside a method":             {withMail + "app.example.com {\n@get method GET\nhandle @get {\ncontactgate\n}\n}", []string{"cannot be reached"}},
		"inside not a path":           {withMail + "app.example.com {\n@x not path /.contactgate/*\nhandle @x {\ncontactgate\n}\n}", []string{"cannot be reached"}},
		"inside a header matcher":     {withMail + "app.example.com {\n@x header X-A b\nhandle @x {\ncontactgate\n}\n}", nil},
		"behind a greedy sibling":     {withMail + "app.example.com {\nroute {\nhandle /.contactgate/* {\nrespond ours\n}\nhandle {\ncontactgate\n}\n}\n}", []string{"cannot be reached"}},
		"with a matcher":              {withMail + "app.example.com {\ncontactgate /app/*\n}", nil},
		"with a matcher, in a path":   {withMail + "app.example.com {\nhandle /app/* {\ncontactgate /app/x/*\n}\n}", []string{"cannot be reached"}},

		"one identity":                  {withMail + "a.example.com {\ncontactgate\n}\nb.example.com {\ncontactgate\n}", nil},
		"one identity, more facts":      {withMail + "a.example.com {\ncontactgate\n}\nb.example.com {\ncontactgate {\nidentity {http.auth.user.id} {\nemail {http.auth.user.email}\n}\n}\n}", nil},
		"two identities":                {withMail + "a.example.com {\ncontactgate\n}\nb.example.com {\ncontactgate {\nidentity {http.vars.user}\nrealm b\n}\n}", []string{"realm: the gates have different identities ({http.auth.user.id}; {http.vars.user})", "server srv0, a.example.com: contactgate"}},
		"two identities on two servers": {withMail + "a.example.com {\ncontactgate\n}\nb.example.com:8443 {\ncontactgate {\nidentity {http.vars.user}\n}\n}", []string{"realm: the gates have different identities", "a.example.com: contactgate", "b.example.com: contactgate"}},
		"two identities with realms":    {withMail + "a.example.com {\ncontactgate {\nrealm a\n}\n}\nb.example.com {\ncontactgate {\nidentity {http.vars.user}\nrealm b\n}\n}", nil},

		"sender without an address":    {"{\ncontactgate {\nemail smtp {\nfrom a@b.example\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"email smtp: address is empty"}},
		"secret missing":               {"{\ncontactgate {\nemail smtp {\naddress mail.example.com\nfrom a@b.example\nusername u\npassword {env.CONTACTGATE_NOT_SET}\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"email smtp password"}},
		"sms over a mail server":       {"{\ncontactgate {\nsms smtp {\naddress mail.example.com:587\nfrom a@b.example\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"sms smtp: a mail server carries e-mail only"}},
		"email over a web API":         {"{\ncontactgate {\nemail http https://a.example\n}\n}\napp.example.com {\ncontactgate\n}", []string{"email http: a web API carries texts and calls only"}},
		"sms with a caller ID":         {"{\ncontactgate {\nsms http https://a.example {\ncaller_id +17148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"sms http: caller_id is for calls"}},
		"caller ID is no number":       {"{\ncontactgate {\nvoice http https://a.example {\ncaller_id 7148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{`http caller_id "7148680120": write the number in full`}},
		"gateway without TLS":          {"{\ncontactgate {\nsms http http://a.example/x?key=s3cret\n}\n}\napp.example.com {\ncontactgate\n}", []string{"http: url http://a.example: without TLS only to localhost"}},
		"gateway without a secret":     {"{\ncontactgate {\nsms http https://a.example {\nsecret {env.NO_SUCH_SECRET}\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"http secret: ", "NO_SUCH_SECRET"}},
		"gateway's secret is short":    {"{\ncontactgate {\nsms http https://a.example {\nsecret whsec_c2hvcnQ=\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"http: secret: not one of Standard Webhooks"}},
		"texts to no country":          {"{\ncontactgate {\nsms outbox\n}\n}\napp.example.com {\ncontactgate\n}", []string{`channels: there are senders for phones only, and no country whose phones they may reach; add "channels JP sms voice"`}},
		"texts where nobody is texted": {"{\ncontactgate {\nsms outbox\nchannels JP voice\n}\n}\napp.example.com {\ncontactgate\n}", []string{"channels: there are senders for phones only"}},
		"texts alone are enough":       {"{\ncontactgate {\nchannels JP sms voice\nsms http https://a.example\n}\n}\napp.example.com {\ncontactgate\n}", nil},
		"twilio for both, one account": {"{\ncontactgate {\nchannels JP sms voice\nsms twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\nfrom +15005550006\n}\nvoice twilio {\ncaller_id +17148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", nil},
		"twilio for both, calls first": {"{\ncontactgate {\nchannels JP sms voice\nvoice twilio {\ncaller_id +17148680120\nwait_for_key off\n}\nsms twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\nfrom Example\n}\n}\n}\napp.example.com {\ncontactgate\n}", nil},
		"twilio for calls alone":       {"{\ncontactgate {\nchannels JP sms voice\nvoice twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\ncaller_id +17148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", nil},
		"calls without an account":     {"{\ncontactgate {\nsms outbox\nvoice twilio {\ncaller_id +17148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"voice: ", "twilio: account_sid: not one", "auth_token is empty"}},
		"texts from nobody":            {"{\ncontactgate {\nsms twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"sms twilio: nobody to send from"}},
		"texts with a caller ID":       {"{\ncontactgate {\nsms twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\nfrom +15005550006\ncaller_id +17148680120\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"sms twilio: caller_id and wait_for_key are for calls"}},
		"calls from nobody":            {"{\ncontactgate {\nvoice twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"voice twilio: no number to call from"}},
		"calls with from":              {"{\ncontactgate {\nvoice twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\ncaller_id +17148680120\nfrom +15005550006\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"voice twilio: from and messaging_service are for texts"}},
		"calls that wait perhaps":      {"{\ncontactgate {\nvoice twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\ncaller_id +17148680120\nwait_for_key maybe\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{`twilio wait_for_key "maybe": use on or off`}},
		"mail over twilio":             {"{\ncontactgate {\nemail twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token s3cret\nfrom +15005550006\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"email twilio: Twilio carries texts and calls only"}},
		"twilio without its token":     {"{\ncontactgate {\nsms twilio {\naccount_sid AC0123456789abcdef0123456789abcdef\nauth_token {env.NO_SUCH_TOKEN}\nfrom +15005550006\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"twilio auth_token: ", "NO_SUCH_TOKEN"}},
		"keys missing":                 {"{\ncontactgate {\nemail outbox\nkeys {file./does/not/exist}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"keys: "}},
		"keys wrong":                   {"{\ncontactgate {\nemail outbox\nkeys secret\n}\n}\napp.example.com {\ncontactgate\n}", []string{"keys, line 1", "contactgate gate keys new"}},
		"logo missing":                 {"{\ncontactgate {\nemail outbox\nbrand A {\nlogo /does/not/exist.svg\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{"brand logo", "/does/not/exist.svg"}},
		"logo of another type":         {"{\ncontactgate {\nemail outbox\nbrand A {\nlogo /etc/passwd\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{`brand logo "/etc/passwd": use a .svg, .png or .webp file`}},
		"templates missing":            {"{\ncontactgate {\nemail outbox\nbrand A {\ntemplates /does/not/exist\n}\n}\n}\napp.example.com {\ncontactgate\n}", []string{`brand templates "/does/not/exist"`}},
		"language unknown":             {"{\ncontactgate {\nemail outbox\nlanguages tlh\n}\n}\napp.example.com {\ncontactgate\n}", []string{"tlh"}},
		"exempt domain":                {withMail + "app.example.com {\ncontactgate {\nexempt_domains me@x.example\n}\n}", []string{`exempt_domains "me@x.example"`}},
		"realm with blanks":            {withMail + "app.example.com {\ncontactgate {\nrealm \"a b\"\n}\n}", []string{`realm "a b"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := validated(t, tt.config)
			if len(tt.want) == 0 && err != nil {
				t.Fatalf("refused: %v", err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error: %v", want, err)
				}
			}
		})
	}
}

// TestWarnedAtLoad: what may be meant, but is dangerous, is warned of by name.
func TestWarnedAtLoad(t *testing.T) {
	exempting := func(matcher string) string {
		return withMail + "app.example.com {\ncontactgate {\nexempt {\n" + matcher + "\n}\n}\n}"
	}
	trusting := func(ranges, identity string) string {
		return strings.Replace(withMail, "{\n", "{\nservers {\ntrusted_proxies static "+ranges+"\n}\n", 1) + "app.example.com {\ncontactgate " + identity + "\n}"
	}
	tests := map[string]struct{ config, want, not string }{
		"User-Agent":        {exempting("header User-Agent *Console*"), "exempt: header User-Agent: a client chooses its own headers", ""},
		"header_regexp":     {exempting("header_regexp X-A b"), "exempt: header_regexp X-A: a client chooses", ""},
		"query":             {exempting("query a=b"), "exempt: query: a client chooses its own query", ""},
		"expression":        {exempting("expression path('/x')"), "exempt: expression: cannot tell", ""},
		"inside not":        {exempting("not header X-A b"), "exempt: not header X-A: a client chooses", ""},
		"path":              {exempting("path /x"), "", "exempt:"},
		"remote_ip":         {exempting("remote_ip 10.0.0.0/8"), "", "exempt:"},
		"everybody trusted": {trusting("0.0.0.0/0", ""), "TRUSTED_PROXIES NAMES THE WHOLE INTERNET", ""},
		"everybody IPv6":    {trusting("::/0", ""), "TRUSTED_PROXIES NAMES THE WHOLE INTERNET", ""},
		"ranges trusted":    {trusting("private_ranges", ""), "", "INTERNET"},
		"outbox":            {withMail + "app.example.com {\ncontactgate\n}", "OUTBOX: NOBODY RECEIVES ANY MESSAGE", ""},
		"plain HTTP":        {withMail + "http://app.example.com {\ncontactgate\n}", "server srv0, app.example.com: contactgate: the listener :80 speaks plain HTTP", ""},
		"plain HTTP, port":  {withMail + "http://app.example.com:8080 {\ncontactgate\n}", "the listener :8080 speaks plain HTTP", ""},
		"plain, any host":   {withMail + ":8080 {\ncontactgate {\nbrand A\n}\n}", "server srv0, any host: contactgate: the listener :8080 speaks plain HTTP", ""},
		"plain on loopback": {withMail + "http://app.example.com {\nbind 127.0.0.1\ncontactgate\n}", "", "plain HTTP"},
		"plain on a socket": {withMail + "http://app.example.com {\nbind unix//tmp/x.sock\ncontactgate\n}", "", "plain HTTP"},
		"plain for us":      {withMail + "http://localhost:8080 {\ncontactgate\n}", "", "plain HTTP"},
		"behind a proxy":    {strings.Replace(trusting("private_ranges", ""), "app.example.com", "http://app.example.com", 1), "", "plain HTTP"},
		"HTTPS":             {withMail + "app.example.com {\ncontactgate\n}", "", "plain HTTP"},
		"underscore":        {trusting("private_ranges", "{\nidentity {header.X_User} {\nset_by trusted_proxies\n}\n}"), "Caddy drops the request header X_user", ""},
		"no underscore":     {trusting("private_ranges", "{\nidentity {header.X-User} {\nset_by trusted_proxies\n}\n}"), "", "Caddy drops"},
		"no name":           {withMail + ":8080 {\ncontactgate\n}", "cannot name this site: it serves any host; add brand", ""},
		"name from a host":  {withMail + "app.example.com {\ncontactgate\n}", "", "cannot name"},
		"name from origin":  {withMail + ":8080 {\ncontactgate {\norigin https://app.example.com\n}\n}", "", "cannot name"},
		"no sender":         {strings.Replace(withMail, "email", "sms outbox\nchannels JP sms voice\nchannels FR sms\nemail", 1) + "app.example.com {\ncontactgate\n}", `a channel is not offered: it has no sender; add one (sms …, voice …) to the contactgate block of the global options, or remove it from channels","country":"JP"`, `"FR"`},
		"only a wildcard":   {withMail + "*.example.com {\ntls internal\ncontactgate\n}", "cannot name", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			logged, err := validated(t, tt.config)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(logged, tt.want) {
				t.Errorf("%q was not logged:\n%s", tt.want, logged)
			}
			if tt.not != "" && strings.Contains(logged, tt.not) {
				t.Errorf("%q was logged:\n%s", tt.not, logged)
			}
		})
	}
}

// TestAllStandsAtOnce: one load names every gate that stands badly.
func TestAllStandsAtOnce(t *testing.T) {
	_, err := validated(t, withMail+"a.example.com {\nroute {\nrespond x\ncontactgate\n}\n}\nb.example.com:8443 {"+byForwardAuth+"\n}")
	for _, want := range []string{"a.example.com: contactgate stands behind", "b.example.com: contactgate: identity has", "realm: the gates have different"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// TestForwardAuthOfOldConfigs: JSON from before Caddy deleted the client's field first is refused (GHSA-7r4p-vjf4-gxv4).
func TestForwardAuthOfOldConfigs(t *testing.T) {
	const config = `{"apps": {"contactgate": {"email": {"module": "outbox"}}, "http": {"servers": {"main": {"listen": ["127.0.0.1:8443"], "routes": [
		{"match": [{"host": ["app.example.com"]}], "handle": [
			{"handler": "reverse_proxy", "upstreams": [{"dial": "auth:1"}], "handle_response": [{"match": {"status_code": [2]}, "routes": [
				{"match": [{"not": [{"vars": {"{http.reverse_proxy.header.Remote-User}": [""]}}]}], "handle": [
					{"handler": "headers", "request": {"set": {"remote-user": ["{http.reverse_proxy.header.Remote-User}"]}}}]}]}]},
			{"handler": "contactgate", "identity": {"module": "placeholder", "user": "{http.request.header.Remote-User}", "set_by": "forward_auth"}}
		]}]}}}}}`
	_, err := validatedJSON(t, t.TempDir(), []byte(config))
	if err == nil || !strings.Contains(err.Error(), "server main, app.example.com: contactgate: identity has \"set_by forward_auth\", but some requests") {
		t.Errorf("got %v", err)
	}
	fixed := strings.Replace(config, `"routes": [
				{"match"`, `"routes": [{"handle": [{"handler": "headers", "request": {"delete": ["Remote-User"]}}]},
				{"match"`, 1)
	if _, err := validatedJSON(t, t.TempDir(), []byte(fixed)); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// TestGateKnowsItsHosts: the innermost routes that name hosts count.
func TestGateKnowsItsHosts(t *testing.T) {
	tests := map[string]struct {
		config string
		want   string
	}{
		"one":      {"App.Example.com {\ncontactgate\n}", "app.example.com"},
		"several":  {"b.example.com, a.example.com {\ncontactgate\n}", "b.example.com a.example.com"},
		"narrower": {"*.example.com {\ntls internal\n@a host a.example.com\nhandle @a {\ncontactgate\n}\n}", "a.example.com"},
		"any":      {":8080 {\ncontactgate {\nbrand A\n}\n}", ""},
		"nested":   {"a.example.com {\nhandle /x/* {\nrespond x\n}\nhandle {\nroute {\ncontactgate\n}\n}\n}", "a.example.com"},
		"second":   {"a.example.com {\nrespond a\n}\nb.example.com {\nencode\ncontactgate\n}", "b.example.com"},
		"matcher":  {"a.example.com {\ncontactgate /x/*\n}", "a.example.com"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			gates := provisioned(t, withMail+tt.config).gates
			for _, g := range gates {
				if got := strings.Join(g.hosts, " "); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
			if len(gates) == 0 {
				t.Error("no gate")
			}
		})
	}
}

// provisioned gives the app of a configuration that is not started.
func provisioned(t *testing.T, input string) *App {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		t.Fatal(err)
	}
	app, err := ctx.AppIfConfigured("contactgate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.(*App).Cleanup() })
	return app.(*App)
}

// TestExampleLoads: what we ship adapts, is formatted, and loads.
func TestExampleLoads(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := string(caddyfile.Format(text)); formatted != string(text) {
		t.Error("Caddyfile.example is not formatted: caddy fmt --overwrite Caddyfile.example")
	}
	t.Setenv("SMTP_PASSWORD", "x")
	t.Setenv("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef")
	t.Setenv("TWILIO_AUTH_TOKEN", "x")
	logged, err := validated(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(logged, `"level":"warn"`) {
		t.Errorf("the example is warned of:\n%s", logged)
	}
}

// TestValidateBesideAServer: checking a configuration neither waits for the store that a server uses, nor opens it.
func TestValidateBesideAServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	config := "{\ncontactgate {\nstore bolt " + path + "\nemail outbox\n}\n}\napp.example.com {\ncontactgate\n}"
	running := &Bolt{Path: path}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	if err := running.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Cleanup() }()
	if err := running.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := validated(t, config); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	after, err := os.Stat(path)
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the store was touched: %v", err)
	}
	if _, err := running.Get(context.Background(), "x"); err != nil {
		t.Errorf("the running store no longer works: %v", err)
	}
}
