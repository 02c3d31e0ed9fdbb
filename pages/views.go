package pages

import "time"

// Frame is what every page needs besides its own view.
type Frame struct {
	// Language is the tag of a loaded catalog ("en", "ja"). Unknown tags fall back to the first loaded one.
	Language string
	// Prefix is the absolute path of our pages, without a trailing slash: "/.contactgate".
	Prefix string
	// SignOut is the operator's sign-out address; empty hides the link.
	SignOut string
	// Token makes the hidden csrf field of the form that posts to action ("verify/send").
	Token func(action string) string
	// Return is the opaque return token that forms and links carry on; may be empty.
	Return string
	// Here is the GET address, below the prefix, to come back to after the language was changed ("verify", "contacts/new").
	Here string
	// SignedOut: nobody is signed in, so our page of help is not for them; Support is what the operator named instead, a mailto:
	// or https: address or empty.
	SignedOut bool
	Support   string
	// Linked: the page's own address holds what a link of ours is good for. No other address may learn it.
	Linked bool
	// LanguageAction is where the choice of a language is posted, below the prefix. Empty: "language".
	LanguageAction string
	// Incident is an ID that support can find in the log; empty hides it.
	Incident string
}

// View is one page: its template's name and what it shows. Values are ready to show. The set is closed: the views below.
type View interface{ template() string }

// Choice is one contact to choose.
type Choice struct {
	Handle   string   // value of the field "contact"
	Masked   string   // "an****@example.com"
	Channels []string // "email", or "sms" and "voice"
	// Only says why a phone has one channel only: "country" (the operator allows no other there) or "line" (it takes no
	// texts). Empty: it has two, or is none.
	Only string
}

// Lossy warns that mail to a domain is often dropped on its way.
type Lossy struct {
	Domain string
	// Carrier is whose settings are told: "docomo", "au" or "softbank"; empty: others.
	Carrier string
	// From is the sender that the settings have to let through.
	From string
	// Phone: a phone number can be added in its place.
	Phone bool
}

// Ask is step 1, "is this still yours?". (GET verify)
type Ask struct {
	Contacts []Choice
	// Overdue: access stops here until one contact is confirmed.
	Overdue bool
	// Lapsed: a contact was confirmed once, longer ago than the operator allows.
	Lapsed bool
	// Deadline is when access stops; zero when no clock runs.
	Deadline time.Time
	DaysLeft int
	// CanLater shows "not now".
	CanLater bool
	// HoldUntil is set while a new contact is on hold. Held are those that are, which can be taken off the account again.
	HoldUntil time.Time
	Held      []Choice
	// Failed names why the last try to send did not work, on this page again (503): "unreachable", "refused" or "paused" (its
	// country has to wait; see FailedWait). Empty: nothing failed.
	Failed string
	// FailedMasked is the contact that it concerns, FailedPhone whether that is a phone.
	FailedMasked string
	FailedPhone  bool
	FailedWait   time.Duration
	// App: an authenticator app will do as well as a contact.
	App bool
	// Device: a code has to be entered in this browser first, whatever is confirmed already.
	Device bool
	// Fresh: a code has to be entered before a change. (GET fresh)
	Fresh bool
	// Post is where the forms go, below the prefix. Empty: "verify/send".
	Post string
}

// Prove is step 2, "show that you know it". (POST verify/send without a proof, or with a wrong one)
type Prove struct {
	Contact Choice
	Channel string
	// Whole: of a phone number all digits are asked for. Otherwise the last four are.
	Whole bool
	// Lossy warns that a code to this address may get lost. Nil: nothing is known of that.
	Lossy *Lossy
	// Typed is what the person typed, to correct it.
	Typed string
	// Problem is "" , "empty", "mismatch", "spent" (a mismatch after which the whole number is asked), "digits" (of a phone:
	// neither its last four digits nor a number; not counted), "whole" (the last four digits are not enough here; not
	// counted), "wait" (too many tries; see Wait) or "closed" (no
	// more tries for this contact; use another way).
	Problem string
	// Left is how many tries are left after a mismatch; after the last one the page offers other ways only.
	Left int
	Wait time.Duration
	// Post is where the form goes, and Other the page with the other ways, below the prefix. Empty: "verify/send", "verify".
	Post, Other string
}

// Code is step 3, "enter the code". (GET verify/code, and POST with a wrong code)
type Code struct {
	Masked  string
	Channel string
	// Typed addresses are shown whole only on the page where they were typed; here Masked is used.
	From    string // sender as people see it: "Example account team <account-security-noreply@example.com>"
	Subject string
	// Caller is the number that a call shows; empty: it is not known.
	Caller string
	// Only says why this channel was chosen for the person, as in Choice.
	Only string
	Ends time.Time
	// State of the send: "underway", "accepted", "failed".
	State string
	// ResendIn is how long until the code can be sent again; zero or less: now.
	ResendIn time.Duration
	// NewCode: a new code was sent and the former one no longer works.
	NewCode bool
	// Problem is "", "short", "long", "letters" (not counted), "wrong", "expired", "replaced" (a newer code was asked for elsewhere), "wait" (too many; see Wait), "closed" (this code takes no more tries: ask for a new one), "stopped" (100 wrong in a row: this contact is stopped until an operator acts) or "early" (resend too early; see Wait).
	Problem string
	Left    int
	Wait    time.Duration
	// Adding: the contact is being added, not one on file.
	Adding bool
	// HoldAfter: once confirmed, the contact is on hold for this long. Zero: counts at once.
	HoldAfter time.Duration
	// Device: this browser has to be confirmed, and a contact on hold cannot do that.
	Device bool
	// CanTrust shows the box "do not ask for a code here"; Ticked is what the person did with it.
	CanTrust, Ticked bool
	// Other is the page with the other ways, below the prefix. Empty: "verify".
	Other string
}

// Add is "none of these" and "no contact on file". (GET and POST contacts/new)
type Add struct {
	// NothingOnFile changes the first sentence.
	NothingOnFile bool
	Kinds         []string // "email", "phone"
	Kind          string
	Typed         string
	// Countries are those whose phones may be added, Country the code of the chosen one.
	Countries []Country
	Country   string
	// Channels are those that some of the countries allow, Channel the chosen one.
	Channels []string
	Channel  string
	// Lossy asks, before anything is sent, whether it should go there. Nil: nothing is known of that.
	Lossy *Lossy
	// Problem is "", "empty", "address" (not an address), "number" (not a number), "extension" (something is dialled after
	// it), "kind" (it costs extra, or is nobody's own), "line" (it takes calls only, and nobody is called there), "country"
	// (no codes go there), "unreachable", "refused", "paused" (its country has to wait; see Wait), "wait" (too many; see
	// Wait) or "full" (as many contacts as can be kept).
	Problem string
	Wait    time.Duration
	// HoldAfter: on hold for this long once confirmed. Zero: counts at once.
	HoldAfter time.Duration
	// Device: this browser has to be confirmed, and a contact on hold cannot do that.
	Device bool
	// Notified: the contacts on file are told of the change.
	Notified bool
	Overdue  bool
	CanLater bool
	Deadline time.Time
	DaysLeft int
}

// Done is step 5. (GET done)
type Done struct {
	// Masked is what was confirmed; empty when the page was opened without a fresh confirmation.
	Masked string
	// HoldUntil is set when it is on hold.
	HoldUntil time.Time
	// Device: this browser has to be confirmed still, and a contact on hold cannot do that. There is nothing to go on to.
	Device bool
	// TrustedUntil is set when no code is asked for in this browser, and it is used at least once in Unused.
	TrustedUntil time.Time
	Unused       time.Duration
	// Continue is the path to go on to, on this site: "/inbox?x=1".
	Continue string
	// Second nudges to add a second contact.
	Second bool
	// Verified lists what is confirmed now, masked.
	Verified []string
	// App: it was the authenticator app that answered.
	App bool
	// Held are contacts on hold, which can be taken off the account now.
	Held []Choice
}

// Details is a person's own page: their contacts, trusted browsers and authenticator app, and what happened lately. (GET ./)
type Details struct {
	Contacts []OwnContact
	// Full: the account keeps as many contacts as it can.
	Full bool
	// Blocked: access stops until a contact is confirmed; Device: until a code was entered in this browser.
	Blocked, Device bool
	// Deadline is when access stops; zero when no clock runs.
	Deadline time.Time
	DaysLeft int
	// FreshUntil is until when changes need no other code in this browser. Zero: they need one.
	FreshUntil time.Time
	// News is what was just done, in this very browser or in another one. Nil: nothing.
	News *Happened
	// Trusts shows the section of trusted browsers, which are Browsers.
	Trusts   bool
	Browsers []OwnBrowser
	// App is since when an authenticator app is set up; zero: none is. AppLeft is how many recovery codes are left.
	App        time.Time
	AppLeft    int
	AppStopped bool
	// Lately is what happened, the latest first.
	Lately []Happened
	// Problem is why nothing was changed: "", "gone" (what it was about is not there any more), "last" (it is the only confirmed
	// contact), "wait" (too many changes; see Wait) or "stale" (the form was too old).
	Problem string
	Wait    time.Duration
}

// OwnContact is one contact of the person's own page.
type OwnContact struct {
	Choice
	Phone bool
	// Added is since when it is on file, Verified when it was last confirmed; zero: never.
	Added, Verified time.Time
	// HoldUntil is set while it is on hold. Lapsed: its confirmation is too old. Stopped: it takes no more codes.
	HoldUntil       time.Time
	Lapsed, Stopped bool
	// Primary: apps are told this one; CanBePrimary: they could be.
	Primary, CanBePrimary bool
	// Last: it is the only confirmed one, and cannot be removed.
	Last bool
	// Browsers are how many are trusted by a code of it.
	Browsers int
	// Open: the person was about to change this one when they were asked for a code.
	Open bool
}

// OwnBrowser is one trusted browser of the person's own page.
type OwnBrowser struct {
	Handle        string // value of the field "device"
	Browser, Host string // either may be empty
	Used, Until   time.Time
	This          bool
}

// Happened is one event.
type Happened struct {
	// What is its name in the audit log, "contact_removed".
	What string
	At   time.Time
	// Masked is the contact that it is about; Browser the family of the browser. Either may be empty.
	Masked, Browser string
	// Times is how often it happened in a row.
	Times int
}

// Offer is step 4, the offer of an authenticator app. (GET authenticator, while there is none)
type Offer struct {
	// After is how long "later" lasts; zero: nothing is said of it.
	After time.Duration
	// Expired: what was begun was not confirmed in time. Removed: the app was removed a moment ago.
	Expired, Removed bool
}

// Setup is the app being set up. (GET authenticator/setup, and POST with a wrong code)
type Setup struct {
	// Key is what the app is to know, in base32; Account is whose it is.
	Key, Account string
	// Problem is "", "empty", "wrong" (the first with Left tries, after the last one see Wait), "wait" (too many; see Wait) or "stopped" (100 wrong in a row: an operator has to act).
	Problem string
	Left    int
	Wait    time.Duration
}

// Recovery are the recovery codes, this once. (POST authenticator/setup and authenticator/codes)
type Recovery struct {
	Codes []string
	// Renewed: they take the place of former ones.
	Renewed bool
}

// App is what there is of an authenticator app. (GET authenticator, when there is one)
type App struct {
	Enrolled time.Time
	// Left is how many recovery codes are left.
	Left int
	// Wait is how long it cannot be used, after wrong codes; Stopped: not before an operator acts.
	Wait    time.Duration
	Stopped bool
	// Continue is the path to go on to, on this site.
	Continue string
}

// AppCode asks for a code of the app. (GET verify/code, and POST with a wrong code)
type AppCode struct {
	// Problem is "", "empty", "wrong" (with Left tries, after the last one see Wait), "used" (right, and entered before), "wait" (too many; see Wait), "stopped" (100 wrong in a row: an operator has to act) or "replaced" (asked for elsewhere).
	Problem string
	Left    int
	Wait    time.Duration
	// Recovering: what was typed may have been a recovery code, so the field for those is open.
	Recovering bool
	// CanTrust shows the box "do not ask for a code here"; Ticked is what the person did with it.
	CanTrust, Ticked bool
	// Other is the page with the other ways, below the prefix. Empty: "verify".
	Other string
}

// NotSent answers a form of the app that was posted while access is blocked. (403)
type NotSent struct {
	// Device: what is missing is a code in this browser.
	Device bool
}

// Frozen is all that a person sees whose account is stopped. (403)
type Frozen struct {
	// Reference is what the people who run the site know it by.
	Reference string
	Since     time.Time
	// ByPerson: somebody said that a change was not theirs. Else the people who run the site stopped it.
	ByPerson bool
	// NotSent: a form of the app was posted, and the app did not receive it.
	NotSent bool
}

// Undone tells that a contact which was on hold was taken off the account. (POST contacts/undo)
type Undone struct{ Masked string }

// Notice is "this was not me": a page for somebody who was told of a change and need not be signed in. (GET and POST notice)
type Notice struct {
	// Token is what the link of the mail held, which the form posts to. Empty: the code of a text message is asked for.
	Token string
	// State is "" (it asks), "done" (the account is stopped), "used" (it was, and the people who run the site have let it go on
	// since) or "gone" (the link leads nowhere: mistyped, or too old).
	State string
	// Problem is of the code: "", "empty", "short", "long", "letters", "wrong" or "wait" (too many wrong ones; see Wait).
	Problem string
	Wait    time.Duration
	// Reference is what the people who run the site know it by; Told: they have been told.
	Reference string
	Told      bool
	// Support is a mailto: or https: address; empty when the operator gave none.
	Support string
}

// Stale is shown when a form's session is gone or belongs to another tab, with no form to show again. (403)
type Stale struct {
	// Back is below the prefix: "verify".
	Back string
	// NoCookies: the browser sent no cookie of ours at all.
	NoCookies bool
}

// Help is "still stuck": what to try, and whom to ask.
type Help struct {
	// Support is a mailto: or https: address; empty when the operator gave none.
	Support string
	// From is the sender of our mails, for allow lists; empty: nobody sends any.
	From string
	// Phones: codes go to phones, too.
	Phones bool
	// Frozen: the account is stopped, so that there is nothing to try.
	Frozen bool
	// Form: the people who run the site can be written to here.
	Form bool
	// Problem is what was chosen (one of policy.HelpProblems), Detail and Reach what was typed.
	Problem, Detail, Reach string
	// Fault is what is wrong with that: "", "problem", "detail", "detail_long", "reach", "reach_long" or "wait" (written too
	// often; see Wait).
	Fault string
	Wait  time.Duration
}

// HelpSent tells that a message to the people who run the site is on its way. (GET help, after POST)
type HelpSent struct {
	Reference string
	// Frozen: the account is stopped, so that there is nowhere to go on to.
	Frozen bool
}

// Trouble is every other ending.
type Trouble struct {
	// Kind is "unavailable" (503), "limited" (429), "notfound" (404), "crosssite" (403), "toolate" (403: "not now" after the deadline), "badrequest" (400), "toolarge" (413), "unsupported" (415), "signedout" (200: our page was reached without the sign-in; a loop was stopped) or "internal" (500).
	Kind string
	// Wait is when to try again; zero hides it.
	Wait time.Duration
	// Back is where the button leads: an absolute path on this site. Empty: no button.
	Back string
}

func (Ask) template() string      { return "ask" }
func (Prove) template() string    { return "prove" }
func (Code) template() string     { return "code" }
func (Add) template() string      { return "add" }
func (Details) template() string  { return "details" }
func (Done) template() string     { return "done" }
func (Offer) template() string    { return "offer" }
func (Setup) template() string    { return "setup" }
func (Recovery) template() string { return "recovery" }
func (App) template() string      { return "app" }
func (AppCode) template() string  { return "appcode" }
func (NotSent) template() string  { return "notsent" }
func (Frozen) template() string   { return "frozen" }
func (Undone) template() string   { return "undone" }
func (Notice) template() string   { return "notice" }
func (Stale) template() string    { return "stale" }
func (HelpSent) template() string { return "helpsent" }
func (Help) template() string     { return "help" }
func (Trouble) template() string  { return "trouble" }

// CodeMail is the message that carries a code.
type CodeMail struct {
	Code    string
	Minutes int
	// Host is the site that asked, "app.example.com"; Browser the family of the browser that asked ("Firefox"), may be empty; At when.
	Host, Browser string
	At            time.Time
	// Adding: somebody typed this address to add it, so the words allow for a mistake.
	Adding bool
}

// NoticeMail tells a contact on file that another one was added, or what became of the authenticator app.
type NoticeMail struct {
	// Kind of the new contact, "email" or "phone". The new contact itself is never shown. Of an app:
	// "authenticator_enrolled", "authenticator_removed" or "authenticator_codes" (new recovery codes). Of a contact that was
	// on hold and is gone: "email_undone" or "phone_undone".
	Kind      string
	At        time.Time
	Host      string
	HoldUntil time.Time // zero: it counts at once
	// Link opens the page on which the reader may say "this was not me", until LinkEnds. Empty: they may not.
	Link     string
	LinkEnds time.Time
}

// StoppedMail tells the people who run the site that an account was stopped: somebody said "this was not me".
type StoppedMail struct {
	Reference, Realm, User string
	// By is the contact that said so, masked.
	By   string
	At   time.Time
	Host string
}

// HelpMail tells the people who run the site that somebody is stuck. What that person writes is kept as text, each line of it
// marked.
type HelpMail struct {
	Reference, Realm, User, Standing string
	At                               time.Time
	Host                             string
	// Problem is one of policy.HelpProblems.
	Problem, Detail, Reach string
}

// CodeText is the text message that carries a code.
type CodeText struct {
	Code    string
	Minutes int
	// Host is the site that asked, "app.example.com": the last line is bound to it. Empty: there is no such line.
	Host string
}

// CodeCall is the call that carries a code.
type CodeCall struct {
	// Code has six digits.
	Code    string
	Minutes int
}

// NoticeText tells a number on file that another contact was added, or what became of the authenticator app.
type NoticeText struct {
	// Kind is as in NoticeMail.
	Kind string
	At   time.Time
	Host string
	// Code is what is typed at Page ("app.example.com/.contactgate/notice") to say "this was not me". Without both, people
	// are asked to sign in and change their password.
	Code, Page string
}
