// Package delivery hands messages over to the world: mail, texts and calls.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is one message to one person, ready to hand over.
type Message struct {
	// ID is the idempotency key: the same for every attempt at the same message.
	ID string
	// Channel is "email", "sms" or "voice".
	Channel string
	// To is the whole address or E.164 number. It must not reach a log.
	To string
	// Subject and HTML are for e-mail only.
	Subject, HTML string
	// Text is the plain body, or the text message, or what is spoken: there each line is followed by a pause, and those
	// that have digits and nothing else are the code, to be spoken one by one.
	Text string
	// Greeting is for calls whose carrier can wait for a key: it is spoken first, and asks for the star key. The others
	// leave it out.
	Greeting string
	// Code is the code in the message, for channels that format it themselves. It must not reach a log.
	Code string
	// Language is a BCP 47 tag.
	Language string
	// Ends is when the message is of no more use; it must not be handed over after that.
	Ends time.Time
}

// Sender hands a message over to whoever carries it. Send returns nil only when the carrier accepted it.
// Every call must end with its context. Errors should wrap one of the kinds below; an error of no kind is
// taken as ErrUnknown.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// What became of a message that was not accepted.
var (
	// ErrRefused: the carrier said no to this recipient or message for good (SMTP 5yz on RCPT or DATA).
	ErrRefused = errors.New("refused by the recipient's side")
	// ErrTryLater: the carrier said "not now" and has not taken the message (SMTP 4yz, greylisting).
	ErrTryLater = errors.New("asked to try later")
	// ErrUnreachable: the carrier could not be used at all (connect, TLS, login, provider 5xx); nothing was handed over.
	ErrUnreachable = errors.New("carrier unreachable")
	// ErrBrokenOff is an ErrUnreachable: the carrier was there, and fell silent over this recipient or message before it
	// took it. It is no outage: a recipient's own mail server can bring a relay to that.
	ErrBrokenOff = fmt.Errorf("%w: broken off over this message", ErrUnreachable)
	// ErrOutOfOrder is an ErrUnreachable: the carrier is there, and answered that it cannot serve us now: a provider's 5xx, a
	// login that it does not take. That it takes connections does not tell when this is over.
	ErrOutOfOrder = fmt.Errorf("%w: out of order", ErrUnreachable)
	// ErrUnknown: the answer was lost after the message was handed over; it may have been accepted.
	ErrUnknown = errors.New("no answer after handing over")
)
