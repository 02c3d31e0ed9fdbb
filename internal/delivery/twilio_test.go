package delivery_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/pages"
)

const (
	theAccount = "ACfedcba9876543210fedcba9876543210"
	theNumber  = "+15005550006"
	theCaller  = "+17148680120"
)

func twilio(t *testing.T, g *gateway, changes ...func(*delivery.TwilioConfig)) *delivery.Twilio {
	t.Helper()
	cfg := delivery.TwilioConfig{
		AccountSID: theAccount, AuthToken: theToken, From: theNumber, CallerID: theCaller,
		API: g.URL, RootCAs: g.roots(), Timeout: 5 * time.Second,
	}
	for _, change := range changes {
		change(&cfg)
	}
	s, err := delivery.NewTwilio(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// property is what Twilio's API description says of one field of a form.
type property struct {
	pattern  string
	most     int // characters
	from, to int // of an integer; 0, 0: no integer
}

// The parts of Twilio's published API description that we use: twilio/twilio-oai, spec/json/twilio_api_v2010.json, paths
// /2010-04-01/Accounts/{AccountSid}/Messages.json and …/Calls.json, schemas CreateMessageRequest and CreateCallRequest.
// The other fields of these schemas are left out: a request that has one of them is refused, so that a new one is looked up.
var (
	sidOfAccount   = regexp.MustCompile(`^/2010-04-01/Accounts/(AC[0-9a-fA-F]{32})(/Messages|/Calls|)\.json$`)
	e164           = `^\+[1-9][0-9]{6,14}$`
	requiredFields = map[string][]string{"/Messages": {"To"}, "/Calls": {"To", "From"}}
	knownFields    = map[string]map[string]property{
		"/Messages": {
			"To": {pattern: e164}, "From": {pattern: `^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 +&_-]{1,11})$`},
			"Body": {most: 1600}, "MessagingServiceSid": {pattern: `^MG[0-9a-fA-F]{32}$`}, "ValidityPeriod": {from: 1, to: 14400},
		},
		"/Calls": {
			"To": {pattern: e164}, "From": {pattern: e164}, "Twiml": {most: 4000}, "Timeout": {from: 1, to: 600}, "TimeLimit": {from: 1, to: 14400},
		},
	}
)

// twilioFaults are what is wrong with a request by that description.
func twilioFaults(method string, head http.Header, path string, query url.Values, body []byte) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	found := sidOfAccount.FindStringSubmatch(path)
	if found == nil {
		return []string{"no such path: " + path}
	}
	r := http.Request{Header: head}
	if user, password, ok := r.BasicAuth(); !ok || user != found[1] || password != theToken {
		bad("no login of the account")
	}
	if len(query) > 0 {
		bad("a query: %v", query)
	}
	if found[2] == "" {
		if method != http.MethodGet {
			bad("%s of an account", method)
		}
		return faults
	}
	if method != http.MethodPost || head.Get("Content-Type") != "application/x-www-form-urlencoded" {
		bad("%s with %q", method, head.Get("Content-Type"))
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		bad("no form: %v", err)
	}
	for _, name := range requiredFields[found[2]] {
		if form.Get(name) == "" {
			bad("%s is required", name)
		}
	}
	for name, list := range form {
		p, known := knownFields[found[2]][name]
		if !known || len(list) != 1 {
			bad("%s is no field of it, or there twice", name)
			continue
		}
		faults = append(faults, p.faults(name, list[0])...)
	}
	if found[2] == "/Messages" {
		if (form.Get("From") == "") == (form.Get("MessagingServiceSid") == "") {
			bad("one of From and MessagingServiceSid")
		}
		if form.Get("Body") == "" {
			bad("no Body")
		}
	} else {
		faults = append(faults, twimlFaults(form.Get("Twiml"))...)
	}
	return faults
}

func (p property) faults(name, value string) (faults []string) {
	if p.pattern != "" && !regexp.MustCompile(p.pattern).MatchString(value) {
		faults = append(faults, fmt.Sprintf("%s is %q", name, value))
	}
	if p.most > 0 && len([]rune(value)) > p.most {
		faults = append(faults, fmt.Sprintf("%s has %d characters", name, len([]rune(value))))
	}
	if p.to > 0 {
		if n, err := strconv.Atoi(value); err != nil || n < p.from || n > p.to {
			faults = append(faults, fmt.Sprintf("%s is %q", name, value))
		}
	}
	return faults
}

// TwiML as twilio.com/docs/voice/twiml describes it: which verb may stand where, with which attributes.
var (
	verbs    = map[string][]string{"": {"Response"}, "Response": {"Say", "Pause", "Dial"}, "Dial": {"Conference"}}
	verbAttr = map[string]map[string]string{
		"Say":   {"voice": `^(Polly\.[A-Z][a-z]+|Google\.cmn-TW-Standard-A)$`, "language": `^(arb|[a-z]{2,3}-[A-Z]{2})$`},
		"Pause": {"length": `^[1-9][0-9]*$`},
		"Dial":  {"hangupOnStar": `^(true|false)$`},
		"Conference": {"startConferenceOnEnter": `^(true|false)$`, "muted": `^(true|false)$`, "beep": `^(true|false|onEnter|onExit)$`,
			"maxParticipants": `^([2-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|250)$`, "waitUrl": `^$`},
	}
)

func twimlFaults(text string) (faults []string) {
	decoder := xml.NewDecoder(strings.NewReader(text))
	inside := []string{""}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return faults
		}
		if err != nil {
			return append(faults, "TwiML: "+err.Error())
		}
		switch tag := token.(type) {
		case xml.StartElement:
			name := tag.Name.Local
			if !slices.Contains(verbs[inside[len(inside)-1]], name) {
				faults = append(faults, fmt.Sprintf("TwiML: <%s> in <%s>", name, inside[len(inside)-1]))
			}
			for _, a := range tag.Attr {
				if pattern, known := verbAttr[name][a.Name.Local]; !known || !regexp.MustCompile(pattern).MatchString(a.Value) {
					faults = append(faults, fmt.Sprintf("TwiML: <%s %s=%q>", name, a.Name.Local, a.Value))
				}
			}
			inside = append(inside, name)
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		}
	}
}

// startTwilio answers as Twilio does, and refuses what its description does.
func startTwilio(t *testing.T, answer http.HandlerFunc) *gateway {
	t.Helper()
	var g *gateway
	g = startGateway(t, func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		body := g.texts[len(g.texts)-1]
		g.mu.Unlock()
		for _, fault := range twilioFaults(r.Method, r.Header, r.URL.Path, r.URL.Query(), body) {
			t.Error(fault)
		}
		for _, secret := range []string{theCode, "12345678", theToken} {
			if strings.Contains(r.RequestURI, secret) {
				t.Errorf("G10: %q is in the address", secret)
			}
		}
		answer(w, r)
	})
	return g
}

func created(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, `{"sid": "`+theAccount+`", "status": "active", "type": "Full"}`)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}`)
}

func form(t *testing.T, g *gateway) url.Values {
	t.Helper()
	f, err := url.ParseQuery(string(g.texts[len(g.texts)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTwilioSendsTexts(t *testing.T) {
	g := startTwilio(t, created)
	now := time.Now()
	m := textMessage()
	m.Ends = now.Add(10 * time.Minute)
	clock := func(c *delivery.TwilioConfig) { c.Now = func() time.Time { return now } }
	wantKind(t, "sent", twilio(t, g, clock).Send(t.Context(), m), nil)
	if f := form(t, g); f.Get("To") != theirNumber || f.Get("From") != theNumber || f.Get("Body") != m.Text || f.Get("ValidityPeriod") != "600" {
		t.Errorf("got %v", f)
	}
	const service = "MG0123456789abcdef0123456789abcdef"
	s := twilio(t, g, clock, func(c *delivery.TwilioConfig) { c.From, c.MessagingService = "", service })
	m.Ends = now.Add(time.Second)
	wantKind(t, "by a service", s.Send(t.Context(), m), nil)
	if f := form(t, g); f.Get("MessagingServiceSid") != service || f.Get("ValidityPeriod") != "5" {
		t.Errorf("got %v", f)
	}
	m.Ends = now.Add(7 * 24 * time.Hour)
	wantKind(t, "a notice", s.Send(t.Context(), m), nil)
	if f := form(t, g); f.Get("ValidityPeriod") != "14400" {
		t.Errorf("got %v", f)
	}
}

// A call waits for the star key in every language before it says a digit, and then says the digits one by one, twice.
func TestTwilioCallsWaitForAKeyAndSpellTheCode(t *testing.T) {
	g := startTwilio(t, created)
	texts, err := pages.New(pages.Config{Brand: pages.Brand{Name: "R&D <ポータル>"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range texts.Languages() {
		for _, without := range []bool{false, true} {
			l := letter("code")
			l.Channel, l.To, l.Language = "voice", theirNumber, lang
			m, err := delivery.NewComposer(texts).Compose(l)
			if err != nil {
				t.Fatal(err)
			}
			m.Ends = time.Time{}
			wantKind(t, lang, twilio(t, g, func(c *delivery.TwilioConfig) { c.WithoutKey = without }).Send(t.Context(), m), nil)
			f := form(t, g)
			if f.Get("From") != theCaller || f.Get("To") != theirNumber || f.Get("TimeLimit") != "90" {
				t.Errorf("%s: %v", lang, f)
			}
			said := f.Get("Twiml")
			before, after, waits := strings.Cut(said, `</Conference></Dial>`)
			if waits == without {
				t.Errorf("%s: waits for a key: %t", lang, waits)
			}
			if !waits {
				before, after = "", said
			}
			if strings.ContainsAny(regexp.MustCompile(`(?s)<[^>]*>|[0-9a-f]{32}$`).ReplaceAllString(before, ""), "0123456789") {
				t.Errorf("%s: a digit is said before the key: %s", lang, before)
			}
			digit := regexp.MustCompile(`<Say voice="[^"]+" language="[^"]+">([0-9])</Say><Pause length="1"/>`)
			var spelled string
			for _, found := range digit.FindAllStringSubmatch(after, -1) {
				spelled += found[1]
			}
			if spelled != theCode+theCode || strings.Contains(said, theCode) {
				t.Errorf("%s: said %q", lang, spelled)
			}
			if !strings.Contains(said, "R&amp;D &lt;ポータル&gt;") {
				t.Errorf("%s: the name: %s", lang, said)
			}
		}
	}
	// The room is nobody else's, and names nothing.
	room := regexp.MustCompile(`>([0-9a-f]{32})</Conference>`)
	rooms := map[string]bool{}
	for _, id := range []string{"a", "b", "a"} {
		m := delivery.Message{ID: id, Channel: "voice", To: theirNumber, Greeting: "hello", Text: "1, 2, 3, 4, 5, 6", Language: "tlh"}
		wantKind(t, "a language without a voice", twilio(t, g).Send(t.Context(), m), nil)
		rooms[room.FindStringSubmatch(form(t, g).Get("Twiml"))[1]] = true
	}
	if len(rooms) != 2 {
		t.Errorf("%d rooms for two calls", len(rooms))
	}
}

func TestTwilioErrorsKeepTheirMeaning(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   error
	}{
		{201, `{"sid": "SM1"}`, nil}, {201, "told to say so", nil}, {200, "", nil},
		{400, `{"code": 21211, "message": "told to say so: +819012345678", "status": 400}`, delivery.ErrRefused},
		{400, `{"code": 21614}`, delivery.ErrRefused}, {400, `{"code": 21610}`, delivery.ErrRefused}, {400, `{"code": 99999}`, delivery.ErrRefused}, {400, "told to say so", delivery.ErrRefused},
		{403, `{"code": 21408}`, delivery.ErrRefused}, {403, `{"code": 21215}`, delivery.ErrRefused},
		{400, `{"code": 21606}`, delivery.ErrOutOfOrder}, {400, `{"code": 21212}`, delivery.ErrOutOfOrder}, {400, `{"code": 21210}`, delivery.ErrOutOfOrder},
		{401, `{"code": 20003}`, delivery.ErrOutOfOrder}, {403, `{"code": 20005}`, delivery.ErrOutOfOrder}, {403, "", delivery.ErrOutOfOrder}, {404, `{"code": 20404}`, delivery.ErrOutOfOrder},
		{429, `{"code": 20429}`, delivery.ErrTryLater}, {429, "", delivery.ErrTryLater}, {400, `{"code": 21611}`, delivery.ErrTryLater}, {503, `{"code": 20429}`, delivery.ErrTryLater},
		{500, `{"code": 20500}`, delivery.ErrOutOfOrder}, {502, "<html>", delivery.ErrOutOfOrder}, {503, "", delivery.ErrOutOfOrder},
		{307, "", delivery.ErrOutOfOrder},
	} {
		g := startTwilio(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		for _, channel := range []string{"sms", "voice"} {
			m := textMessage()
			m.Channel = channel
			wantKind(t, fmt.Sprintf("%s %d %s", channel, c.status, c.body), twilio(t, g).Send(t.Context(), m), c.kind)
		}
		if n := g.requests(); n != 2 {
			t.Errorf("%d: %d requests for two messages", c.status, n)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"hang":  hang,
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		g := startTwilio(t, answer)
		s := twilio(t, g, func(c *delivery.TwilioConfig) { c.Timeout = 2 * time.Second })
		wantKind(t, name, s.Send(t.Context(), textMessage()), delivery.ErrUnknown)
		if g.requests() != 1 {
			t.Errorf("%s: sent %d times", name, g.requests())
		}
	}
}

func TestTwilioTellsWhatIsWrongWithItsAccount(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   error
		says   string
	}{
		{200, `{"status": "active"}`, nil, ""},
		{200, `{"status": "suspended"}`, delivery.ErrOutOfOrder, "not active"},
		{200, "told to say so", delivery.ErrUnreachable, "not an account"},
		{401, `{"code": 20003}`, delivery.ErrOutOfOrder, "answered 401 (Twilio error 20003)"},
		{503, "", delivery.ErrOutOfOrder, "answered 503"},
	} {
		g := startTwilio(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		err := twilio(t, g).Check(t.Context())
		wantKind(t, c.body, err, c.kind)
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d: %v", c.status, err)
		}
	}
	gone := startTwilio(t, created)
	s := twilio(t, gone)
	gone.Close()
	wantKind(t, "gone", s.Check(t.Context()), delivery.ErrUnreachable)
}

func TestTwilioSendsNothingElse(t *testing.T) {
	g := startTwilio(t, created)
	textsOnly := twilio(t, g, func(c *delivery.TwilioConfig) { c.CallerID = "" })
	callsOnly := twilio(t, g, func(c *delivery.TwilioConfig) { c.From = "" })
	for name, c := range map[string]struct {
		sender *delivery.Twilio
		change func(*delivery.Message)
	}{
		"a mail":           {textsOnly, func(m *delivery.Message) { m.Channel = "email" }},
		"a call":           {textsOnly, func(m *delivery.Message) { m.Channel = "voice" }},
		"a text":           {callsOnly, func(*delivery.Message) {}},
		"an address":       {textsOnly, func(m *delivery.Message) { m.To = "whatsapp:+819012345678" }},
		"a SIP address":    {callsOnly, func(m *delivery.Message) { m.Channel, m.To = "voice", "sip:a@b.example" }},
		"a very long text": {textsOnly, func(m *delivery.Message) { m.Text = strings.Repeat("あ", 1601) }},
		"a very long call": {callsOnly, func(m *delivery.Message) { m.Channel, m.Text = "voice", strings.Repeat("あ", 4001) }},
	} {
		m := textMessage()
		c.change(&m)
		wantKind(t, name, c.sender.Send(t.Context(), m), delivery.ErrRefused)
	}
	if g.requests() != 0 {
		t.Errorf("%d requests", g.requests())
	}
}

func TestTwilioConfigNamesEveryFaultAndNoSecret(t *testing.T) {
	_, err := delivery.NewTwilio(delivery.TwilioConfig{
		AccountSID: theToken, AuthToken: theToken + " ", From: "+1 500 555 0006", MessagingService: "MG1", CallerID: "17148680120", API: "http://api.twilio.com", Timeout: -1,
	})
	for _, want := range []string{"account_sid: not one", "auth_token is empty or has blanks", "from and messaging_service: keep one", `from "+1 500 555 0006"`, `messaging_service "MG1"`, `caller_id "17148680120"`, "api: url http://api.twilio.com: without TLS", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), theToken) {
		t.Errorf("a secret: %v", err)
	}
	if _, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: theAccount, AuthToken: theToken, API: "https://api.twilio.com/2010-04-01"}); err == nil || !strings.Contains(err.Error(), "leave out the path") {
		t.Error(err)
	}
	for from, good := range map[string]bool{"+15005550006": true, "12345": true, "Example": true, "EXAMPLE Inc": true, "12": false, "Example Company": false, "123456789": false, "Exam\nple": false} {
		_, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: theAccount, AuthToken: theToken, From: from})
		if good != (err == nil) {
			t.Errorf("from %q: %v", from, err)
		}
	}
}

// TestTheDescriptionIsHeld: the check of requests goes red.
func TestTheDescriptionIsHeld(t *testing.T) {
	login := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	r := http.Request{Header: login}
	r.SetBasicAuth(theAccount, theToken)
	good := url.Values{"To": {theirNumber}, "From": {theCaller}, "Twiml": {"<Response><Say>x</Say></Response>"}}
	path := "/2010-04-01/Accounts/" + theAccount + "/Calls.json"
	if faults := twilioFaults("POST", login, path, nil, []byte(good.Encode())); len(faults) > 0 {
		t.Fatal(faults)
	}
	for name, change := range map[string]func(url.Values){
		"no recipient": func(f url.Values) { f.Del("To") }, "no number": func(f url.Values) { f.Set("To", "ann") }, "unknown": func(f url.Values) { f.Set("Url", "https://x") },
		"broken XML": func(f url.Values) { f.Set("Twiml", "<Response><Say>") }, "unknown verb": func(f url.Values) { f.Set("Twiml", "<Response><Gather/></Response>") },
		"unknown attribute": func(f url.Values) { f.Set("Twiml", `<Response><Pause long="1"/></Response>`) }, "rings too long": func(f url.Values) { f.Set("Timeout", "601") },
	} {
		f, _ := url.ParseQuery(good.Encode())
		change(f)
		if faults := twilioFaults("POST", login, path, nil, []byte(f.Encode())); len(faults) == 0 {
			t.Errorf("%s was taken", name)
		}
	}
	if faults := twilioFaults("POST", http.Header{}, path+"?Code=1", url.Values{"Code": {"1"}}, nil); len(faults) == 0 {
		t.Error("a code in the address was taken")
	}
}
