package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// TwilioConfig says through which Twilio account messages go.
type TwilioConfig struct {
	// AccountSID and AuthToken log in.
	AccountSID, AuthToken string
	// From sends texts: a number, a short code or a name that the account may use. MessagingService does it instead.
	From, MessagingService string
	// CallerID makes calls: a number of the account, or one that it has verified.
	CallerID string
	// WithoutKey speaks the code at once, instead of waiting for the star key.
	WithoutKey bool
	// API is another address of the API, such as that of a region. Default https://api.twilio.com.
	API string
	// RootCAs are trusted in place of the system's.
	RootCAs *x509.CertPool
	// Timeout is for one whole message. Default 10 s.
	Timeout time.Duration
	// Now is for a message's end. Default time.Now.
	Now func() time.Time
}

// Twilio sends texts and makes calls. Twilio knows no idempotency key: an attempt after a lost answer may be a second text
// with the same code.
type Twilio struct {
	cfg      TwilioConfig
	provider *provider
	account  string // the address of the account's resources
	header   http.Header
}

var (
	accountSID          = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	messagingServiceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	// senderName is a short code, or what Twilio takes for an alphanumeric sender ID.
	senderName = regexp.MustCompile(`^(?:[0-9]{3,8}|[A-Za-z0-9 +&_-]{0,10}[A-Za-z][A-Za-z0-9 +&_-]{0,10})$`)
)

// NewTwilio checks the whole config and names everything that is wrong with it at once. It connects to nothing, and
// repeats no secret.
func NewTwilio(cfg TwilioConfig) (*Twilio, error) {
	if cfg.API == "" {
		cfg.API = "https://api.twilio.com"
	}
	base, badAPI := providerURL(cfg.API)
	if badAPI == nil && (strings.Trim(base.Path, "/") != "" || base.RawQuery != "") {
		badAPI = fmt.Errorf("url %s: leave out the path; write it as https://api.dublin.ie1.twilio.com", base.Scheme+"://"+base.Host)
	}
	problems := []error{cfg.checkLogin(), cfg.checkSender()}
	if badAPI != nil {
		problems = append(problems, fmt.Errorf("api: %w", badAPI))
	}
	if cfg.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout %s: write a positive duration", cfg.Timeout))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	login := base64.StdEncoding.EncodeToString([]byte(cfg.AccountSID + ":" + cfg.AuthToken))
	return &Twilio{
		cfg: cfg, provider: newProvider(base, cfg.RootCAs, cfg.Timeout, cfg.Now),
		account: base.Scheme + "://" + base.Host + "/2010-04-01/Accounts/" + cfg.AccountSID,
		header:  http.Header{"Authorization": {"Basic " + login}, "Accept": {"application/json"}, "User-Agent": {"contactgate"}},
	}, nil
}

func (c *TwilioConfig) checkLogin() error {
	var problems []error
	if !accountSID.MatchString(c.AccountSID) {
		problems = append(problems, errors.New("account_sid: not one; write AC and 32 hexadecimal digits, as the Twilio console shows it"))
	}
	if c.AuthToken == "" || !isPrintable(c.AuthToken) {
		problems = append(problems, errors.New("auth_token is empty or has blanks; write it as the Twilio console shows it, best as {env.TWILIO_AUTH_TOKEN}"))
	}
	return errors.Join(problems...)
}

func (c *TwilioConfig) checkSender() error {
	var problems []error
	if c.From != "" && c.MessagingService != "" {
		problems = append(problems, errors.New("from and messaging_service: keep one of them"))
	}
	if c.From != "" && !IsNumber(c.From) && !(senderName.MatchString(c.From) && len(c.From) <= 11) {
		problems = append(problems, fmt.Errorf("from %q: write a number in full (+15005550006), a short code, or a name of up to 11 letters and digits", c.From))
	}
	if c.MessagingService != "" && !messagingServiceSID.MatchString(c.MessagingService) {
		problems = append(problems, fmt.Errorf("messaging_service %q: write MG and 32 hexadecimal digits", c.MessagingService))
	}
	if c.CallerID != "" && !IsNumber(c.CallerID) {
		problems = append(problems, fmt.Errorf("caller_id %q: write the number in full, with + and the country's code: +17148680120", c.CallerID))
	}
	return errors.Join(problems...)
}

// Send hands one text or call over. Everything of it is in the request's body, nothing in its address, which proxies and
// providers write to their logs. Nothing of the message, the login or Twilio's words is in the error.
func (s *Twilio) Send(ctx context.Context, m Message) error {
	refuse := func(why string) error { return failure{kind: ErrRefused, stage: atStart, cause: why} }
	if !IsNumber(m.To) {
		return refuse("the recipient is not a number in E.164 form")
	}
	var resource string
	var form url.Values
	switch {
	case m.Channel == "sms" && s.cfg.From+s.cfg.MessagingService != "":
		resource, form = "/Messages.json", s.text(m)
	case m.Channel == "voice" && s.cfg.CallerID != "":
		resource, form = "/Calls.json", s.call(m)
	default:
		return refuse("not a text or a call that can be sent from here")
	}
	if len([]rune(form.Get("Twiml"))) > longestTwiML || len([]rune(form.Get("Body"))) > longestText {
		return refuse("the message is too long")
	}
	header := s.header.Clone()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := s.provider.ask(ctx, http.MethodPost, s.account+resource, header, []byte(form.Encode()), m.Ends)
	if err != nil {
		return err
	}
	return answer.twilioRefusal()
}

const (
	// longestText and longestTwiML are Twilio's own limits.
	longestText  = 1600
	longestTwiML = 4000
	// longestQueue is how long Twilio keeps a text at most.
	longestQueue = 14400 * time.Second
)

// text is a POST to the Messages resource. What waits at Twilio until its code has ended is not sent any more.
func (s *Twilio) text(m Message) url.Values {
	form := url.Values{"To": {m.To}, "Body": {m.Text}}
	if s.cfg.MessagingService != "" {
		form.Set("MessagingServiceSid", s.cfg.MessagingService)
	} else {
		form.Set("From", s.cfg.From)
	}
	if !m.Ends.IsZero() {
		left := min(max(m.Ends.Sub(s.provider.now()), 5*time.Second), longestQueue)
		form.Set("ValidityPeriod", strconv.Itoa(int(left/time.Second)))
	}
	return form
}

const (
	ringing = 30 // seconds that a phone rings
	// talking ends a call that nobody presses a key in: what a voicemail would record is silence.
	talking = 90
)

// call is a POST to the Calls resource with what is to be said in it.
func (s *Twilio) call(m Message) url.Values {
	return url.Values{
		"To": {m.To}, "From": {s.cfg.CallerID}, "Timeout": {strconv.Itoa(ringing)}, "TimeLimit": {strconv.Itoa(talking)},
		"Twiml": {s.twiml(m)},
	}
}

// twiml is what is said. It waits for the star key first, so that a voicemail does not keep the code. <Gather> would want
// a public address to report the key to, since a call that brings its TwiML along has none of its own. A conference room
// that nobody else enters wants none: whoever is in it leaves it with the star key (hangupOnStar), and as <Dial> has no
// action, the call goes on with what follows; whoever presses nothing stays in it until the call's time is up.
// (twilio.com/docs/voice/twiml/conference, "Combining with Dial attributes", and twilio.com/docs/voice/twiml/dial.)
func (s *Twilio) twiml(m Message) string {
	t := twiml{voice: voiceFor(m.Language)}
	t.WriteString(`<?xml version="1.0" encoding="UTF-8"?><Response><Pause length="1"/>`)
	if m.Greeting != "" && !s.cfg.WithoutKey {
		t.say(m.Greeting)
		room := sha256.Sum256([]byte("room " + m.ID))
		t.WriteString(`<Dial hangupOnStar="true"><Conference startConferenceOnEnter="false" muted="true" beep="false" maxParticipants="2" waitUrl="">` +
			hex.EncodeToString(room[:16]) + `</Conference></Dial>`)
	}
	for line := range strings.SplitSeq(m.Text, "\n") {
		digits, spelled := digitsOf(line)
		if !spelled {
			t.say(line)
			t.pause()
			continue
		}
		for _, digit := range digits {
			t.say(string(digit))
			t.pause()
		}
	}
	t.WriteString(`</Response>`)
	return t.String()
}

// digitsOf gives the digits of a line that has nothing else but marks between them.
func digitsOf(line string) (digits string, only bool) {
	digits = strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, line)
	return digits, digits != "" && strings.Trim(line, "0123456789,、，، ") == ""
}

// twiml writes verbs.
type twiml struct {
	strings.Builder
	voice voice
}

func (t *twiml) pause() { t.WriteString(`<Pause length="1"/>`) }

func (t *twiml) say(text string) {
	t.WriteString("<Say")
	if t.voice != (voice{}) {
		t.WriteString(` voice="` + t.voice.name + `" language="` + t.voice.locale + `"`)
	}
	t.WriteString(">")
	_ = xml.EscapeText(t, []byte(text)) // a Builder takes everything
	t.WriteString("</Say>")
}

// voice is one of those that Twilio has (twilio.com/docs/voice/twiml/say/text-speech).
type voice struct{ name, locale string }

var voices = map[string]voice{
	"en": {"Polly.Joanna", "en-US"}, "ja": {"Polly.Mizuki", "ja-JP"}, "de": {"Polly.Vicki", "de-DE"}, "fr": {"Polly.Lea", "fr-FR"},
	"es": {"Polly.Lucia", "es-ES"}, "pt": {"Polly.Vitoria", "pt-BR"}, "ko": {"Polly.Seoyeon", "ko-KR"}, "ar": {"Polly.Zeina", "arb"},
	"zh-Hans": {"Polly.Zhiyu", "cmn-CN"}, "zh-Hant": {"Google.cmn-TW-Standard-A", "cmn-TW"},
}

// voiceFor finds the voice of a language. One that we have no voice for is read by Twilio's own.
func voiceFor(tag string) voice {
	t, err := language.Parse(tag)
	if err != nil {
		return voice{}
	}
	base, _ := t.Base()
	if base.String() == "zh" {
		script, _ := t.Script()
		return voices["zh-"+script.String()]
	}
	return voices[base.String()]
}

// What Twilio's error codes are about (twilio.com/docs/api/errors). A status of 400 alone does not tell a number that
// somebody typed from a sender that the operator mistyped.
var (
	aboutRecipient = codes(13224, 13225, 13226, 13227, 21211, 21214, 21215, 21216, 21217, 21219, 21265, 21408, 21604, 21608, 21610, 21612, 21614, 21617, 21635)
	aboutPace      = codes(10004, 14107, 20429, 21611, 30001, 30022)
	aboutAccount   = codes(10001, 10002, 12100, 20003, 20004, 20005, 20006, 20008, 20403, 20404, 21201, 21203, 21205, 21210, 21212, 21213, 21218, 21220,
		21601, 21602, 21603, 21606, 21607, 21659, 21660, 21661, 21701, 21703, 21705, 32018)
)

func codes(list ...int) map[int]bool {
	set := make(map[int]bool, len(list))
	for _, code := range list {
		set[code] = true
	}
	return set
}

// twilioRefusal reads the error code first: 403 may mean a country that the account does not call, and then another way
// to the same person is what helps.
func (r reply) twilioRefusal() error {
	kind := kindOf(r.status)
	if kind == nil {
		return nil
	}
	var said struct {
		Code int `json:"code"`
	}
	_ = json.Unmarshal(r.body, &said) // what is no JSON has no code
	switch {
	case aboutRecipient[said.Code]:
		kind = ErrRefused
	case aboutPace[said.Code]:
		kind = ErrTryLater
	case aboutAccount[said.Code]:
		kind = ErrOutOfOrder
	}
	return failure{kind: kind, stage: atProvider, code: r.status, cause: told(said.Code)}
}

// told is Twilio's number for what is wrong, for the operator's log.
func told(code int) string {
	if code <= 0 {
		return ""
	}
	return "Twilio error " + strconv.Itoa(code)
}

// Check logs in and reads the account, and sends nothing.
func (s *Twilio) Check(ctx context.Context) error {
	answer, err := s.provider.ask(ctx, http.MethodGet, s.account+".json", s.header.Clone(), nil, time.Time{})
	if err != nil {
		return err
	}
	if err := answer.twilioRefusal(); err != nil {
		return err
	}
	var account struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(answer.body, &account) != nil {
		return failure{kind: ErrUnreachable, stage: atProvider, cause: "the answer was not an account"}
	}
	if account.Status != "active" {
		return failure{kind: ErrOutOfOrder, stage: atProvider, cause: "the account is not active"}
	}
	return nil
}

var _ Sender = (*Twilio)(nil)
