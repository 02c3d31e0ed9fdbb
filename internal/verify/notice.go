package verify

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

// What the reader of a notice brings to say "this was not me" has to lead to the account by itself: they may be signed out,
// or locked out. So it has a record of its own, named by a keyed hash. A link holds 128 bits and cannot be guessed. A code
// has 40, to be typed from a phone; wrong ones are counted.
const (
	noticeLinkBytes = 16
	noticeCodeBytes = 5 // eight letters and digits
)

// leads is a record that a link or a code leads to.
type leads struct {
	User string `cbor:"1,keyasint,omitzero"`
	// Send is the ID of the message that brought it, Contact who got that, New the contact that it told of.
	Send    string    `cbor:"2,keyasint,omitzero"`
	Contact string    `cbor:"3,keyasint,omitzero"`
	New     string    `cbor:"4,keyasint,omitzero"`
	At      time.Time `cbor:"5,keyasint,omitzero"`
	Ends    time.Time `cbor:"6,keyasint,omitzero"`
	// By is the contact, masked: it may be forgotten when it is asked for.
	By string `cbor:"7,keyasint,omitzero"`
}

func (l *leads) notice() policy.Notice {
	return policy.Notice{ID: l.Send, Contact: l.Contact, New: l.New, At: l.At, Ends: l.Ends}
}

// noticeKey names the record of what a notice holds. The realm is in it: a site of another realm finds nothing.
func (f *Flow) noticeKey(realm, held string) string {
	return noticePrefix + encode(mac(f.index.notice, "record", realm, held)[:16])
}

// tell leaves a notice for each of these contacts, by mail or, where the rules let a code go to it by text, by text: never
// by a call, and never with the contact that it is about. Without rules there are no texts. What there is too much of goes
// untold; it stands in the audit. It is called inside an update.
func (f *Flow) tell(a *policy.Account, r *policy.Rules, v Visitor, to []policy.Contact, about policy.Kind, newID string, now time.Time) {
	to = slices.DeleteFunc(slices.Clone(to), func(c policy.Contact) bool {
		return c.Kind == policy.Phone && (r == nil || !reaches(r, policy.BySMS, c))
	})
	for _, c := range a.Tells(to, about, now) {
		channel := policy.ByEmail
		if c.Kind == policy.Phone {
			channel = policy.BySMS
		}
		s := policy.Send{
			ID: f.newID(), Kind: policy.SendNotice, Channel: channel, Contact: c.ID, About: about, New: newID,
			Language: v.Language, Host: v.Host, Base: v.Base, At: now, Ends: now.Add(policy.NoticeLife), NotBefore: now,
		}
		if c.WasVerified(now) && v.Base != "" {
			s.Seed = f.random(noticeLinkBytes)
		}
		a.Outbox = append(a.Outbox, s)
	}
}

// tellAll leaves a notice of what happened to the account for every mail contact, unless one of the kind is on its way there
// still: whoever clears out a list one by one tells it once. It may be done over and over, so there are no texts of it.
func (f *Flow) tellAll(a *policy.Account, v Visitor, about policy.Kind, now time.Time) {
	to := slices.DeleteFunc(a.Others("", now), func(c policy.Contact) bool {
		return slices.ContainsFunc(a.Outbox, func(s policy.Send) bool {
			return s.Kind == policy.SendNotice && s.Contact == c.ID && s.About == about
		})
	})
	f.tell(a, nil, v, to, about, "", now)
}

// armed puts into a notice what its reader says "this was not me" with, and sees to it that this leads somewhere before the
// message goes out. Both are derived, and the same at every attempt.
func (f *Flow) armed(ctx context.Context, a *policy.Account, s policy.Send, l Letter) (Letter, error) {
	if len(s.Seed) == 0 {
		return l, nil
	}
	to := leads{User: a.User, Send: s.ID, Contact: s.Contact, New: s.New, At: s.At, Ends: s.At.Add(policy.NoticeGood)}
	if c := a.ContactEver(s.Contact); c != nil {
		to.By = c.Address.String()
	}
	l.LinkEnds = to.Ends
	if s.Channel == policy.ByEmail {
		token := encode(mac(f.index.notice, "link", string(s.Seed))[:noticeLinkBytes])
		_, err := f.lead(ctx, f.noticeKey(a.Realm, token), to)
		l.Link = s.Base + "/notice/" + token
		return l, err
	}
	_, page, _ := strings.Cut(s.Base, "://")
	l.Page = page + "/notice"
	// Of 2^40 codes two may be the same: the later one takes another.
	for n := range 100 {
		code := readable.EncodeToString(mac(f.index.notice, "code", string(s.Seed), string(rune(n)))[:noticeCodeBytes])
		ours, err := f.lead(ctx, f.noticeKey(a.Realm, code), to)
		if err != nil || ours {
			l.Code = code
			return l, err
		}
	}
	return l, fmt.Errorf("message %s: no code is free", s.ID)
}

// lead writes the record unless it is there. It reports whether it is the one of this message.
func (f *Flow) lead(ctx context.Context, key string, to leads) (ours bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err = f.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		if old.Value != nil {
			var there leads
			if err := f.openRecord(key, old.Value, &there); err != nil {
				return store.Record{}, err
			}
			ours = there.User == to.User && there.Send == to.Send
			return store.Record{}, store.ErrKeep
		}
		sealed, err := f.sealRecord(key, to)
		ours = true
		return store.Record{Value: sealed, Expires: to.Ends}, err
	})
	if err != nil {
		return false, f.unavailable("update", "writing where a notice leads", err)
	}
	return ours, nil
}

// Disowned is how "this was not me" ended: policy.Accepted, AcceptedAgain, Used, Gone or TooMany.
type Disowned struct {
	policy.Result
	// Freeze is what stops the account now, if something does.
	Freeze policy.Freeze
}

// DisownByLink says "this was not me" with the link of a mail. The visitor brings nothing else, and need not be signed in.
func (f *Flow) DisownByLink(ctx context.Context, v Visitor, token string) (Disowned, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return Disowned{}, err
	}
	return f.disown(ctx, v, token)
}

// NoticeToken tells whether a text can be what a link holds.
func NoticeToken(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == noticeLinkBytes
}

// DisownByCode says it with the code of a text message. Wrong ones are limited: a code is counted before it is looked up, so
// that many at once are no more than one after the other, and given back when it was right.
func (f *Flow) DisownByCode(ctx context.Context, v Visitor, code string) (Disowned, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return Disowned{}, err
	}
	counted := f.wrongNoticeCodes(v)
	r, err := f.takeOutside(ctx, policy.Limits{}, counted, f.now())
	if err != nil {
		return Disowned{}, err
	}
	if r.Outcome != policy.Started {
		f.audit("limit_reached", v, "limit", "notice_codes", "wait", r.Wait.Round(time.Second).String())
		return Disowned{Result: r}, nil
	}
	d, err := f.disown(ctx, v, code)
	if err != nil || d.Outcome != policy.Gone {
		f.undo(ctx, counted)
	}
	return d, err
}

// The limits of wrong codes of notices in an hour (security.md): for a client IP, and for a site.
const (
	noticeWrongPerIP   = 10
	noticeWrongPerSite = 1000
)

func (f *Flow) wrongNoticeCodes(v Visitor) []outside {
	hourly := func(most int) func(*spent, policy.Limits, time.Time) policy.Result {
		return func(s *spent, _ policy.Limits, now time.Time) policy.Result {
			wait := s.All.Wait(most, time.Hour, now)
			if wait == 0 {
				s.All = s.All.Add(time.Hour, now)
			}
			return tooMany(wait)
		}
	}
	undo := func(s *spent) { s.All = s.All.Undo() }
	return []outside{
		{f.limitKey("notice ip", client(v.IP)), hourly(noticeWrongPerIP), undo},
		{f.limitKey("notice site", v.Realm+" "+v.Host), hourly(noticeWrongPerSite), undo},
	}
}

// disown looks up where a link or a code leads, and stops the account there. Whether there is one or not, it reads one record
// and changes, or leaves, one account.
func (f *Flow) disown(ctx context.Context, v Visitor, held string) (Disowned, error) {
	to, err := f.leadsTo(ctx, f.noticeKey(v.Realm, held))
	if err != nil {
		return Disowned{}, err
	}
	v.User = to.User
	now, reference := f.now(), f.reference()
	var d Disowned
	a, err := f.updateKey(ctx, f.accountKey(v.Realm, to.User), func(a *policy.Account) bool {
		d = Disowned{}
		d.Outcome = a.Disown(to.notice(), policy.Freeze{At: now, By: policy.ByPerson, Reference: reference})
		if a.Frozen != nil {
			d.Freeze = *a.Frozen
		}
		if d.Outcome == policy.Accepted {
			f.tellOperator(a, v, to.By, d.Freeze, now)
			a.Note(policy.AccountFrozen, "", "", now)
		}
		return d.Outcome == policy.Accepted
	})
	if err != nil {
		return Disowned{}, err
	}
	f.toldDisowned(v, a, d, to.By)
	return d, nil
}

// leadsTo reads the record of a link or a code. There is none: nobody's.
func (f *Flow) leadsTo(ctx context.Context, key string) (to leads, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	r, err := f.Store.Get(ctx, key)
	if err == nil && r.Value != nil {
		err = f.openRecord(key, r.Value, &to)
	}
	if err != nil {
		return leads{}, f.unavailable("get", "reading where a notice leads", err)
	}
	return to, nil
}

// tellOperator leaves a mail to the people who run the site, where one can reach them.
func (f *Flow) tellOperator(a *policy.Account, v Visitor, by string, freeze policy.Freeze, now time.Time) {
	if !v.Operator {
		return
	}
	a.Outbox = append(a.Outbox, policy.Send{
		ID: f.newID(), Kind: policy.SendStopped, Channel: policy.ByEmail, By: by, Host: v.Host, Base: v.Base,
		Reference: freeze.Reference, At: now, Ends: now.Add(policy.NoticeLife), NotBefore: now,
	})
}

func (f *Flow) toldDisowned(v Visitor, a *policy.Account, d Disowned, by string) {
	if d.Outcome == policy.Gone { // whose it would be nobody knows
		v.User = ""
		f.audit("notice_answered", v, "result", checkResults[d.Outcome])
		return
	}
	f.audit("notice_answered", v, "result", checkResults[d.Outcome], "reference", d.Freeze.Reference)
	if d.Outcome != policy.Accepted {
		return
	}
	f.audit("account_frozen", v, "by", policy.ByPerson, "contact", by, "reference", d.Freeze.Reference)
	f.Log.Warn("an account was frozen: somebody said that a change of its contacts was not theirs; look into it, then let it go on with: contactgate gate accounts unfreeze",
		"realm", v.Realm, "reference", d.Freeze.Reference)
	if !a.Due().IsZero() {
		f.work.kick(f.accountKey(v.Realm, v.User))
	}
}

// Undo takes a contact off the account that is on hold. The others are told.
func (f *Flow) Undo(ctx context.Context, r *policy.Rules, v Visitor, handle string) (undone policy.Contact, o policy.Outcome, err error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return policy.Contact{}, policy.Gone, err
	}
	now := f.now()
	_, err = f.update(ctx, v, now, func(a *policy.Account) bool {
		undone, o = policy.Contact{}, policy.Gone
		c := f.byHandle(v, a, handle)
		if c == nil {
			return false
		}
		var tell []policy.Contact
		if undone, tell, o = a.Undo(c.ID, v.Session, now); o != policy.Accepted {
			return false
		}
		about := policy.EmailUndone
		if undone.Kind == policy.Phone {
			about = policy.PhoneUndone
		}
		f.tell(a, r, v, tell, about, "", now)
		a.Note(policy.ContactUndone, undone.Address, v.Browser, now)
		return true
	})
	if err != nil || o != policy.Accepted {
		return undone, o, err
	}
	f.audit("contact_undone", v, "contact", undone.Address)
	f.work.kick(f.accountKey(v.Realm, v.User))
	return undone, o, nil
}
