package policy

import "strings"

// carrier is a mobile carrier with mail domains of its own, whose filters drop mail from computers without a bounce.
type carrier struct {
	name    string
	domains []string
}

// carriers are those of Japan. Their filters are described by the Anti-Spam Consultation Center (dekyo.or.jp/soudan,
// "docomo スマートフォン 迷惑メールフィルター一覧" and its pages on au and SoftBank): docomo's preset 受信拒否 強 takes mail from
// phones only; au's and SoftBank's checks of forged senders (なりすまし規制, なりすましメールの拒否) and SoftBank's
// 迷惑メールフィルター 強 drop what they do not like. The domains are those that the carriers gave out, as listed for senders
// of mail to them: faq.restaurant-board.airregi.jp (article 360005174434) and creazy.net/2019/08/mobile-carrier-domains.html.
var carriers = []carrier{
	{"docomo", []string{"docomo.ne.jp"}},
	{"au", []string{"ezweb.ne.jp", "*.ezweb.ne.jp", "au.com", "biz.au.com", "uqmobile.jp", "*.ido.ne.jp", "sky.tu-ka.ne.jp"}},
	{"softbank", []string{
		"softbank.ne.jp", "i.softbank.jp", "vodafone.ne.jp", "*.vodafone.ne.jp", "disney.ne.jp",
		"jp-c.ne.jp", "jp-d.ne.jp", "jp-h.ne.jp", "jp-k.ne.jp", "jp-n.ne.jp", "jp-q.ne.jp", "jp-r.ne.jp", "jp-s.ne.jp", "jp-t.ne.jp",
	}},
	// Y!mobile, with the brands that it took over.
	{"", []string{
		"ymobile.ne.jp", "ymobile1.ne.jp", "y-mobile.ne.jp", "yahoo.ne.jp", "emnet.ne.jp", "emobile.ne.jp", "emobile-s.ne.jp",
		"willcom.com", "wcm.ne.jp", "pdx.ne.jp", "*.pdx.ne.jp",
	}},
}

// LossyDomains are the mail domains that are warned of unless the operator names others: what is sent there may be dropped
// without a bounce.
func LossyDomains() []string {
	var list []string
	for _, c := range carriers {
		list = append(list, c.domains...)
	}
	return list
}

// Carrier names the carrier of a mail domain whose settings a page can tell: "docomo", "au", "softbank"; empty for others.
func Carrier(domain string) string {
	for _, c := range carriers {
		if InDomains(domain, c.domains) {
			return c.name
		}
	}
	return ""
}

// Domain is what follows the @ of an address; empty for a number.
func (a Address) Domain() string {
	if at := strings.LastIndexByte(string(a), '@'); at >= 0 {
		return string(a[at+1:])
	}
	return ""
}
