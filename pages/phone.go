package pages

import "slices"

// HasPhone tells whether a phone is among the contacts to choose from.
func (p *page) HasPhone() bool {
	ask, ok := p.View.(Ask)
	return ok && slices.ContainsFunc(ask.Contacts, func(c Choice) bool { return len(c.Channels) > 0 && c.Channels[0] != "email" })
}

// OnlyWhy is the message that says why a phone has this one channel.
func (p *page) OnlyWhy(channel, only string) string {
	switch {
	case only == "line":
		return "channel.only_line"
	case channel == "voice":
		return "channel.only_voice"
	}
	return "channel.only_sms"
}
