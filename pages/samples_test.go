package pages

import "time"

// The moment of every sample: Wednesday 25 November 2026, 08:50 in Tokyo.
var now = time.Date(2026, 11, 24, 23, 50, 0, 0, time.UTC)

func frame(lang, here string) Frame {
	return Frame{
		Language: lang, Prefix: "/.contactgate", SignOut: "/logout", Return: "r-7Qm2",
		Token: func(action string) string { return "token-for-" + action }, Here: here,
	}
}

// frameOf is the frame that a page comes in.
func frameOf(lang string, v View) Frame {
	f := frame(lang, "verify")
	switch v := v.(type) {
	case Trouble:
		f.Incident = "k7qx2mpa4d"
	case Notice:
		f.SignedOut, f.SignOut, f.Return, f.Here, f.Support = true, "", "", "notice", v.Support
	}
	return f
}

func testConfig(languages ...string) Config {
	tokyo := time.FixedZone("JST", 9*60*60)
	if len(languages) == 0 {
		languages = []string{"en", "ja"}
	}
	return Config{Brand: Brand{Name: "Example"}, Languages: languages, Location: tokyo}
}

var (
	deadline = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	private  = Choice{Handle: "h-1", Masked: "an****@example.com", Channels: []string{"email"}}
	work     = Choice{Handle: "h-2", Masked: "****@mail.example.org", Channels: []string{"email"}}
	phone    = Choice{Handle: "h-3", Masked: "+81 •• •••• ••34", Channels: []string{"sms", "voice"}}
	landline = Choice{Handle: "h-4", Masked: "+81 •• •••• ••20", Channels: []string{"voice"}, Only: "line"}
	abroad   = Choice{Handle: "h-5", Masked: "+33 •• •••• ••78", Channels: []string{"sms"}, Only: "country"}
	carrier  = Choice{Handle: "h-6", Masked: "ha****@docomo.ne.jp", Channels: []string{"email"}}
)

// countries are offered in this order; the page sorts them.
var countries = []Country{{"JP", "+81"}, {"US", "+1"}, {"DE", "+49"}, {"FR", "+33"}}

const (
	sender  = "Example account team <account-security-noreply@example.com>"
	subject = "Your Example security code"
	key     = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

var recoveryCodes = []string{"K7M2Q9XW4D", "0123456789", "ABCDEFGHJK", "MNPQRSTVWX", "YZ01234567",
	"89ABCDEFGH", "JKMNPQRSTV", "WXYZ012345", "6789ABCDEF", "GHJKMNPQRS"}

// samples are the pages in every state worth a look.
func samples() map[string]View {
	code := func(change func(*Code)) Code {
		c := Code{Masked: private.Masked, Channel: "email", From: sender, Subject: subject, Ends: now.Add(9 * time.Minute), State: "accepted", ResendIn: 40 * time.Second}
		change(&c)
		return c
	}
	problem := func(name string) Code {
		return code(func(c *Code) { c.Problem, c.Left, c.Wait = name, 3, 2*time.Minute })
	}
	text := func(change func(*Code)) Code {
		return code(func(c *Code) { c.Masked, c.Channel, c.From, c.Subject = phone.Masked, "sms", "", ""; change(c) })
	}
	call := func(change func(*Code)) Code {
		return text(func(c *Code) { c.Channel, c.Caller = "voice", "+17148680120"; change(c) })
	}
	lossy := func(domain, carrier string, phone bool) *Lossy {
		return &Lossy{Domain: domain, Carrier: carrier, From: sender, Phone: phone}
	}
	addPhone := func(change func(*Add)) Add {
		a := Add{Kinds: []string{"email", "phone"}, Kind: "phone", Countries: countries, Country: "JP", Channels: []string{"sms", "voice"}, Channel: "sms"}
		change(&a)
		return a
	}
	phoneProblem := func(name, typed string) Add {
		return addPhone(func(a *Add) { a.Problem, a.Typed = name, typed })
	}
	return map[string]View{
		"ask-grace":       Ask{Contacts: []Choice{private, work}, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"ask-last-day":    Ask{Contacts: []Choice{private}, Deadline: now.Add(5 * time.Hour), DaysLeft: 0, CanLater: true},
		"ask-one":         Ask{Contacts: []Choice{private}, CanLater: true},
		"ask-phone":       Ask{Contacts: []Choice{private, phone}, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"ask-overdue":     Ask{Contacts: []Choice{private, work}, Overdue: true, Deadline: now.Add(-26 * time.Hour)},
		"ask-lapsed":      Ask{Contacts: []Choice{private}, Lapsed: true, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"ask-hold":        Ask{Contacts: []Choice{private}, HoldUntil: now.Add(70 * time.Hour), Deadline: deadline, DaysLeft: 5, CanLater: true},
		"ask-unreachable": Ask{Contacts: []Choice{private, work}, Overdue: true, Deadline: now.Add(-26 * time.Hour), Failed: "unreachable", FailedMasked: private.Masked},
		"ask-refused":     Ask{Contacts: []Choice{private, work}, Overdue: true, Deadline: now.Add(-26 * time.Hour), Failed: "refused", FailedMasked: private.Masked},

		"ask-device":        Ask{Contacts: []Choice{private, work}, Overdue: true, Device: true},
		"ask-device-hold":   Ask{Contacts: []Choice{private}, Overdue: true, Device: true, HoldUntil: now.Add(70 * time.Hour)},
		"ask-fresh":         Ask{Contacts: []Choice{private, work}, Fresh: true, Post: "fresh"},
		"ask-one-phone":     Ask{Contacts: []Choice{phone}, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"ask-only":          Ask{Contacts: []Choice{landline, abroad, phone}, Overdue: true, Deadline: now.Add(-26 * time.Hour)},
		"ask-refused-phone": Ask{Contacts: []Choice{private, phone}, Overdue: true, Deadline: now.Add(-26 * time.Hour), Failed: "refused", FailedMasked: phone.Masked, FailedPhone: true},
		"ask-paused":        Ask{Contacts: []Choice{private, phone}, CanLater: true, Failed: "paused", FailedMasked: abroad.Masked, FailedPhone: true, FailedWait: 48 * time.Minute},

		"prove-text":           Prove{Contact: phone, Channel: "sms"},
		"prove-call":           Prove{Contact: phone, Channel: "voice"},
		"prove-whole":          Prove{Contact: phone, Channel: "sms", Whole: true},
		"prove-phone-empty":    Prove{Contact: phone, Channel: "sms", Problem: "empty"},
		"prove-whole-empty":    Prove{Contact: phone, Channel: "sms", Whole: true, Problem: "empty"},
		"prove-phone-digits":   Prove{Contact: phone, Channel: "sms", Typed: "34", Problem: "digits"},
		"prove-phone-mismatch": Prove{Contact: phone, Channel: "sms", Typed: "1234", Problem: "mismatch", Left: 2},
		"prove-phone-spent":    Prove{Contact: phone, Channel: "sms", Typed: "1234", Whole: true, Problem: "spent", Left: 5},
		"prove-phone-whole":    Prove{Contact: phone, Channel: "voice", Typed: "1234", Whole: true, Problem: "whole"},
		"prove-phone-wait":     Prove{Contact: phone, Channel: "sms", Whole: true, Problem: "wait", Wait: 5 * time.Hour},
		"prove-phone-last":     Prove{Contact: phone, Channel: "sms", Whole: true, Problem: "mismatch"},
		"prove-phone-closed":   Prove{Contact: phone, Channel: "sms", Whole: true, Problem: "closed"},
		"prove-lossy":          Prove{Contact: carrier, Channel: "email", Lossy: lossy("docomo.ne.jp", "docomo", true)},
		"prove-lossy-au":       Prove{Contact: carrier, Channel: "email", Lossy: lossy("ezweb.ne.jp", "au", false)},

		"code-text":          text(func(*Code) {}),
		"code-text-underway": text(func(c *Code) { c.State = "underway" }),
		"code-text-failed":   text(func(c *Code) { c.State, c.ResendIn = "failed", 0 }),
		"code-text-only":     text(func(c *Code) { c.Only, c.Adding = "country", true }),
		"code-text-letters":  text(func(c *Code) { c.Problem = "letters" }),
		"code-text-wrong":    text(func(c *Code) { c.Problem, c.Left = "wrong", 3 }),
		"code-text-replaced": text(func(c *Code) { c.Problem = "replaced" }),
		"code-call":          call(func(*Code) {}),
		"code-call-withheld": call(func(c *Code) { c.Caller = "" }),
		"code-call-underway": call(func(c *Code) { c.State = "underway" }),
		"code-call-failed":   call(func(c *Code) { c.State, c.ResendIn = "failed", 0 }),
		"code-call-only":     call(func(c *Code) { c.Only, c.Adding, c.HoldAfter = "line", true, 72*time.Hour }),
		"code-call-country":  call(func(c *Code) { c.Only = "country" }),
		"code-call-letters":  call(func(c *Code) { c.Problem = "letters" }),
		"code-call-wrong":    call(func(c *Code) { c.Problem, c.Left = "wrong", 3 }),
		"code-call-replaced": call(func(c *Code) { c.Problem = "replaced" }),
		"code-call-expired":  call(func(c *Code) { c.Problem, c.ResendIn = "expired", 0 }),

		"add-kinds":           Add{Kinds: []string{"email", "phone"}, Kind: "email", Notified: true, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"add-phone":           addPhone(func(a *Add) { a.Notified, a.Deadline, a.DaysLeft, a.CanLater = true, deadline, 5, true }),
		"add-phone-first":     addPhone(func(a *Add) { a.NothingOnFile, a.Overdue, a.Deadline = true, true, now.Add(-26*time.Hour) }),
		"add-phone-hold":      addPhone(func(a *Add) { a.Channel, a.HoldAfter, a.Notified = "voice", 72*time.Hour, true }),
		"add-phone-one":       addPhone(func(a *Add) { a.Countries = countries[:1] }),
		"add-phone-calls":     addPhone(func(a *Add) { a.Channels, a.Channel = []string{"voice"}, "voice" }),
		"add-phone-texts":     addPhone(func(a *Add) { a.Countries, a.Channels = countries[:1], []string{"sms"} }),
		"add-phone-empty":     phoneProblem("empty", ""),
		"add-phone-number":    phoneProblem("number", "090-1234-567"),
		"add-phone-extension": phoneProblem("extension", "+14155550123;ext=9"),
		"add-phone-kind":      phoneProblem("kind", "0990 123456"),
		"add-phone-line":      phoneProblem("line", "01 23 45 67 89"),
		"add-phone-country":   phoneProblem("country", "+881612345678"),
		"add-phone-refused":   phoneProblem("refused", "090-1234-5678"),
		"add-phone-paused":    addPhone(func(a *Add) { a.Problem, a.Typed, a.Wait = "paused", "090-1234-5678", 48*time.Minute }),
		"add-lossy":           Add{Kinds: []string{"email", "phone"}, Kind: "email", Typed: "hanako@docomo.ne.jp", Lossy: lossy("docomo.ne.jp", "docomo", true)},
		"add-lossy-softbank":  Add{Kinds: []string{"email"}, Kind: "email", Typed: "hanako@softbank.ne.jp", Lossy: lossy("softbank.ne.jp", "softbank", false)},
		"add-lossy-other":     Add{Kinds: []string{"email"}, Kind: "email", Typed: "hanako@ymobile.ne.jp", Lossy: lossy("ymobile.ne.jp", "", false)},
		"help-phones":         Help{Support: "mailto:help@example.com", From: sender, Phones: true},

		"prove":          Prove{Contact: private, Channel: "email"},
		"prove-fresh":    Prove{Contact: private, Channel: "email", Post: "fresh", Other: "fresh"},
		"prove-empty":    Prove{Contact: private, Channel: "email", Problem: "empty"},
		"prove-mismatch": Prove{Contact: private, Channel: "email", Typed: "anna@exmaple.com", Problem: "mismatch", Left: 4},
		"prove-last-try": Prove{Contact: private, Channel: "email", Typed: "anna", Problem: "mismatch", Left: 1},
		"prove-last":     Prove{Contact: private, Channel: "email", Typed: "anna", Problem: "mismatch"},
		"prove-wait":     Prove{Contact: private, Channel: "email", Typed: "anna", Problem: "wait", Wait: 5 * time.Hour},
		"prove-closed":   Prove{Contact: private, Channel: "email", Problem: "closed"},

		"code":             code(func(*Code) {}),
		"code-now":         code(func(c *Code) { c.ResendIn = 0 }),
		"code-underway":    code(func(c *Code) { c.State = "underway" }),
		"code-failed":      code(func(c *Code) { c.State, c.ResendIn = "failed", 0 }),
		"code-new":         code(func(c *Code) { c.NewCode = true }),
		"code-tomorrow":    code(func(c *Code) { c.Ends = now.Add(20 * time.Hour) }),
		"code-adding":      code(func(c *Code) { c.Adding = true }),
		"code-adding-hold": code(func(c *Code) { c.Adding, c.HoldAfter = true, 72*time.Hour }),
		"code-trust":       code(func(c *Code) { c.CanTrust = true }),
		"code-ticked":      code(func(c *Code) { c.CanTrust, c.Ticked, c.Problem, c.Left, c.Other = true, true, "wrong", 4, "fresh" }),
		"code-hold-device": code(func(c *Code) { c.Adding, c.Device, c.HoldAfter = true, true, 72*time.Hour }),
		"code-short":       problem("short"),
		"code-long":        problem("long"),
		"code-letters":     problem("letters"),
		"code-wrong":       problem("wrong"),
		"code-last":        code(func(c *Code) { c.Problem, c.ResendIn = "wrong", 0 }),
		"code-expired":     problem("expired"),
		"code-replaced":    problem("replaced"),
		"code-wait":        problem("wait"),
		"code-early":       problem("early"),
		"code-closed":      problem("closed"),
		"code-stopped":     problem("stopped"),

		"add":             Add{Kinds: []string{"email"}, Kind: "email", Notified: true, Deadline: deadline, DaysLeft: 5, CanLater: true},
		"add-first":       Add{NothingOnFile: true, Kinds: []string{"email"}, Kind: "email", Deadline: deadline, DaysLeft: 5, CanLater: true},
		"add-overdue":     Add{NothingOnFile: true, Kinds: []string{"email"}, Kind: "email", Overdue: true, Deadline: now.Add(-26 * time.Hour)},
		"add-hold":        Add{Kinds: []string{"email"}, Kind: "email", HoldAfter: 72 * time.Hour, Notified: true, Overdue: true, Deadline: now.Add(-26 * time.Hour)},
		"add-hold-device": Add{Kinds: []string{"email"}, Kind: "email", HoldAfter: 72 * time.Hour, Device: true, Notified: true},
		"add-empty":       Add{Kinds: []string{"email"}, Kind: "email", Problem: "empty"},
		"add-address":     Add{Kinds: []string{"email"}, Kind: "email", Typed: "anna.example.com", Problem: "address"},
		"add-unreachable": Add{Kinds: []string{"email"}, Kind: "email", Typed: "anna@example.com", Problem: "unreachable"},
		"add-refused":     Add{Kinds: []string{"email"}, Kind: "email", Typed: "anna@example.com", Problem: "refused"},
		"add-wait":        Add{Kinds: []string{"email"}, Kind: "email", Typed: "anna@example.com", Problem: "wait", Wait: 40 * time.Minute},
		"add-full":        Add{Kinds: []string{"email"}, Kind: "email", Typed: "anna@example.com", Problem: "full"},

		"details":         details(func(*Details) {}),
		"details-empty":   Details{Blocked: true, Trusts: true},
		"details-grace":   Details{Contacts: []OwnContact{{Choice: work, Added: now.Add(-200 * 24 * time.Hour)}}, Deadline: deadline, DaysLeft: 5},
		"details-fresh":   details(func(d *Details) { d.FreshUntil, d.Contacts[1].Open, d.Full = now.Add(9*time.Minute), true, true }),
		"details-device":  details(func(d *Details) { d.Device = true }),
		"details-blocked": Details{Contacts: []OwnContact{{Choice: work, Added: now.Add(-200 * 24 * time.Hour)}, {Choice: private, Added: now.Add(-400 * 24 * time.Hour), Verified: now.Add(-200 * 24 * time.Hour), Lapsed: true}}, Blocked: true},
		"details-phone": Details{Contacts: []OwnContact{
			{Choice: private, Added: now.Add(-400 * 24 * time.Hour), Verified: now.Add(-20 * 24 * time.Hour), Primary: true},
			{Choice: phone, Phone: true, Added: now.Add(-90 * 24 * time.Hour), Verified: now.Add(-3 * 24 * time.Hour), CanBePrimary: true, Open: true},
		}, App: now.Add(-50 * 24 * time.Hour), Full: true},
		"details-removed": details(func(d *Details) { d.News = &d.Lately[0] }),
		"details-gone":    details(func(d *Details) { d.Problem = "gone" }),
		"details-last":    details(func(d *Details) { d.Problem, d.Contacts = "last", d.Contacts[:1] }),
		"details-wait":    details(func(d *Details) { d.Problem, d.Wait = "wait", 40*time.Minute }),
		"details-stale":   details(func(d *Details) { d.Problem = "stale" }),

		"done":       Done{Masked: private.Masked, Continue: "/inbox?x=1&y=(a)'b", Verified: []string{private.Masked, work.Masked}},
		"done-nudge": Done{Masked: private.Masked, Continue: "/", Second: true, Verified: []string{private.Masked}},
		"done-hold":  Done{Masked: private.Masked, HoldUntil: now.Add(72 * time.Hour), Continue: "/"},
		"done-again": Done{Continue: "/", Verified: []string{private.Masked, work.Masked}},
		"done-none":  Done{Continue: "/"},

		"ask-app":      Ask{Contacts: []Choice{private}, App: true, Overdue: true, Device: true},
		"ask-app-only": Ask{App: true, Fresh: true, Post: "fresh"},

		"offer":         Offer{After: 30 * 24 * time.Hour},
		"offer-quiet":   Offer{},
		"offer-expired": Offer{After: 30 * 24 * time.Hour, Expired: true},
		"offer-removed": Offer{After: 30 * 24 * time.Hour, Removed: true},

		"setup":         Setup{Key: key, Account: "anna"},
		"setup-empty":   Setup{Key: key, Account: "anna", Problem: "empty"},
		"setup-wrong":   Setup{Key: key, Account: "anna", Problem: "wrong", Left: 3},
		"setup-last":    Setup{Key: key, Account: "anna", Problem: "wrong", Wait: 5 * time.Minute},
		"setup-wait":    Setup{Key: key, Account: "anna", Problem: "wait", Wait: 4 * time.Minute},
		"setup-stopped": Setup{Key: key, Account: "anna", Problem: "stopped"},

		"recovery":         Recovery{Codes: recoveryCodes},
		"recovery-renewed": Recovery{Codes: recoveryCodes, Renewed: true},

		"app":         App{Enrolled: now.Add(-50 * 24 * time.Hour), Left: 7, Continue: "/"},
		"app-none":    App{Enrolled: now.Add(-50 * 24 * time.Hour), Continue: "/"},
		"app-paused":  App{Enrolled: now.Add(-50 * 24 * time.Hour), Left: 10, Wait: 3 * time.Minute, Continue: "/"},
		"app-stopped": App{Enrolled: now.Add(-50 * 24 * time.Hour), Left: 1, Stopped: true, Continue: "/"},

		"appcode":          AppCode{},
		"appcode-trust":    AppCode{CanTrust: true, Ticked: true, Other: "fresh"},
		"appcode-empty":    AppCode{Problem: "empty"},
		"appcode-wrong":    AppCode{Problem: "wrong", Left: 3},
		"appcode-last":     AppCode{Problem: "wrong", Wait: 5 * time.Minute},
		"appcode-recovery": AppCode{Problem: "wrong", Left: 2, Recovering: true},
		"appcode-used":     AppCode{Problem: "used", Left: 3},
		"appcode-wait":     AppCode{Problem: "wait", Wait: 4 * time.Minute},
		"appcode-stopped":  AppCode{Problem: "stopped"},
		"appcode-replaced": AppCode{Problem: "replaced"},

		"done-app": Done{App: true, Continue: "/inbox", Verified: []string{private.Masked}},

		"notsent":         NotSent{},
		"frozen":          Frozen{Reference: "K7QX2MPA4D", Since: now.Add(-50 * time.Hour), ByPerson: true},
		"frozen-operator": Frozen{Reference: "K7QX2MPA4D", Since: now.Add(-50 * time.Hour)},
		"frozen-notsent":  Frozen{Reference: "K7QX2MPA4D", Since: now.Add(-50 * time.Hour), ByPerson: true, NotSent: true},

		"ask-held":  Ask{Contacts: []Choice{private}, HoldUntil: now.Add(70 * time.Hour), CanLater: true, Held: []Choice{work}},
		"done-held": Done{Masked: private.Masked, Continue: "/", Verified: []string{private.Masked}, Held: []Choice{work}},
		"undone":    Undone{Masked: work.Masked},

		"help-form":        Help{Support: "mailto:help@example.com", From: sender, Form: true},
		"help-frozen":      Help{Support: "mailto:help@example.com", From: sender, Form: true, Frozen: true, Problem: "stopped"},
		"help-problem":     Help{Form: true, Fault: "problem", Detail: "The code does not arrive.\nI waited.", Reach: "anna@example.org"},
		"help-detail":      Help{Form: true, Fault: "detail", Problem: "no_code", Reach: "anna@example.org"},
		"help-detail-long": Help{Form: true, Fault: "detail_long", Problem: "no_code", Detail: "Long.", Reach: "anna@example.org"},
		"help-reach":       Help{Form: true, Fault: "reach", Problem: "not_me", Detail: "Somebody changed my address."},
		"help-reach-long":  Help{Form: true, Fault: "reach_long", Problem: "not_me", Detail: "Somebody changed my address.", Reach: "by letter to a very long address"},
		"help-wait":        Help{Form: true, Fault: "wait", Wait: 41 * time.Minute, Problem: "other", Detail: "Again.", Reach: "anna@example.org"},
		"help-sent":        HelpSent{Reference: "K7QX2MPA4D"},
		"help-sent-frozen": HelpSent{Reference: "K7QX2MPA4D", Frozen: true},

		"notice":         Notice{Token: noticeToken, Support: "mailto:help@example.com"},
		"notice-code":    Notice{Support: "mailto:help@example.com"},
		"notice-empty":   Notice{Problem: "empty"},
		"notice-short":   Notice{Problem: "short"},
		"notice-long":    Notice{Problem: "long"},
		"notice-letters": Notice{Problem: "letters"},
		"notice-wrong":   Notice{Problem: "wrong"},
		"notice-wait":    Notice{Problem: "wait", Wait: 41 * time.Minute, Support: "mailto:help@example.com"},
		"notice-done":    Notice{State: "done", Reference: "K7QX2MPA4D", Told: true, Support: "mailto:help@example.com"},
		"notice-tell":    Notice{State: "done", Reference: "K7QX2MPA4D", Support: "https://help.example.com/"},
		"notice-used":    Notice{State: "used", Support: "mailto:help@example.com"},
		"notice-gone":    Notice{State: "gone", Support: "mailto:help@example.com"},

		"stale":            Stale{Back: "verify"},
		"stale-cookies":    Stale{Back: "verify", NoCookies: true},
		"help":             Help{Support: "mailto:help@example.com", From: sender},
		"help-alone":       Help{},
		"done-trusted":     Done{Masked: private.Masked, Continue: "/", Verified: []string{private.Masked, work.Masked}, TrustedUntil: now.Add(365 * 24 * time.Hour), Unused: 60 * 24 * time.Hour},
		"done-hold-device": Done{Masked: private.Masked, HoldUntil: now.Add(72 * time.Hour), Device: true},

		"notsent-device": NotSent{Device: true},

		"trouble-unavailable": Trouble{Kind: "unavailable", Wait: 30 * time.Second, Back: "/.contactgate/verify"},
		"trouble-limited":     Trouble{Kind: "limited", Wait: 15 * time.Minute, Back: "/.contactgate/verify"},
		"trouble-notfound":    Trouble{Kind: "notfound", Back: "/"},
		"trouble-crosssite":   Trouble{Kind: "crosssite", Back: "/.contactgate/verify"},
		"trouble-toolate":     Trouble{Kind: "toolate", Back: "/.contactgate/verify"},
		"trouble-badrequest":  Trouble{Kind: "badrequest", Back: "/.contactgate/verify"},
		"trouble-toolarge":    Trouble{Kind: "toolarge", Back: "/.contactgate/verify"},
		"trouble-unsupported": Trouble{Kind: "unsupported"},
		"trouble-signedout":   Trouble{Kind: "signedout", Back: "/"},
		"trouble-internal":    Trouble{Kind: "internal"},
	}
}

// noticeLink is the only link that a mail of ours may hold.
const (
	noticeToken = "3q2-7wAAAAAAAAAAAAAAAA"
	noticeLink  = "https://app.example.com/.contactgate/notice/" + noticeToken
)

// plainSamples are the mails to the people who run the site, each as subject and text.
func plainSamples(r *Renderer) map[string][2]string {
	list := map[string][2]string{}
	keep := func(name string) func(subject, text string, err error) {
		return func(subject, text string, err error) {
			if err != nil {
				panic(err)
			}
			list[name] = [2]string{subject, text}
		}
	}
	keep("stopped")(r.StoppedMail(StoppedMail{Reference: "K7QX2MPA4D", Realm: "example", User: "山田 anna", By: "an****@example.com", At: now, Host: "app.example.com"}))
	keep("help")(r.HelpMail(HelpMail{Reference: "K7QX2MPA4D", Realm: "example", User: "anna", Standing: "overdue", At: now, Host: "app.example.com",
		Problem: "no_contact", Detail: "I changed my provider.\n\nReference: nothing of this is one", Reach: "+81 90 1234 5634"}))
	return list
}

// mailSamples are the messages in every state, each as subject, text and HTML.
func mailSamples(r *Renderer, lang string) map[string][3]string {
	list := map[string][3]string{}
	keep := func(name string) func(subject, text, html string, err error) {
		return func(subject, text, html string, err error) {
			if err != nil {
				panic(err)
			}
			list[name] = [3]string{subject, text, html}
		}
	}
	keep("code")(r.CodeMail(lang, CodeMail{Code: "047193", Minutes: 10, Host: "app.example.com", Browser: "Firefox", At: now}))
	keep("code-adding")(r.CodeMail(lang, CodeMail{Code: "047193", Minutes: 1, Host: "app.example.com", At: now, Adding: true}))
	keep("notice")(r.NoticeMail(lang, NoticeMail{Kind: "email", At: now, Host: "app.example.com", HoldUntil: now.Add(72 * time.Hour)}))
	keep("notice-app-enrolled")(r.NoticeMail(lang, NoticeMail{Kind: "authenticator_enrolled", At: now, Host: "app.example.com"}))
	keep("notice-app-removed")(r.NoticeMail(lang, NoticeMail{Kind: "authenticator_removed", At: now, Host: "app.example.com"}))
	keep("notice-app-codes")(r.NoticeMail(lang, NoticeMail{Kind: "authenticator_codes", At: now, Host: "app.example.com"}))
	keep("notice-link")(r.NoticeMail(lang, NoticeMail{Kind: "email", At: now, Host: "app.example.com", HoldUntil: now.Add(72 * time.Hour),
		Link: noticeLink, LinkEnds: now.Add(30 * 24 * time.Hour)}))
	keep("notice-undone")(r.NoticeMail(lang, NoticeMail{Kind: "email_undone", At: now, Host: "app.example.com", Link: noticeLink, LinkEnds: now.Add(30 * 24 * time.Hour)}))
	keep("notice-removed")(r.NoticeMail(lang, NoticeMail{Kind: "email_removed", At: now, Host: "app.example.com"}))
	keep("notice-primary")(r.NoticeMail(lang, NoticeMail{Kind: "phone_primary", At: now, Host: "app.example.com"}))
	keep("notice-phone")(r.NoticeMail(lang, NoticeMail{Kind: "phone", At: now, Host: "app.example.com"}))
	return list
}

// phoneSamples are texts and calls, as they are sent and spoken.
func phoneSamples(r *Renderer, lang string) map[string]string {
	list := map[string]string{}
	keep := func(name string) func(text string, err error) {
		return func(text string, err error) {
			if err != nil {
				panic(err)
			}
			list[name] = text
		}
	}
	keep("text-code")(r.CodeText(lang, CodeText{Code: "047193", Minutes: 10, Host: "app.example.com"}))
	keep("text-notice-email")(r.NoticeText(lang, NoticeText{Kind: "email", At: now, Host: "app.example.com", Code: "K7QM2XBD", Page: "app.example.com/.contactgate/notice"}))
	keep("text-notice-phone")(r.NoticeText(lang, NoticeText{Kind: "phone", At: now, Host: "app.example.com"}))
	greeting, text, err := r.CodeCall(lang, CodeCall{Code: "047193", Minutes: 10})
	keep("call-code")(greeting+"\n\n"+text, err)
	return list
}
