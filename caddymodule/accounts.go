package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/contactgate/contactgate/internal/identity"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// accountQuestion names an account, and why it is changed. User IDs travel in bodies only: Caddy logs every admin URI.
type accountQuestion struct {
	// Realm may be left out when there is one.
	Realm string `json:"realm,omitempty"`
	User  string `json:"user"`
	// Reason is for the audit log.
	Reason string `json:"reason"`
}

// accountAnswer is an account by the rules of all sites.
type accountAnswer struct {
	Realm    string        `json:"realm"`
	User     string        `json:"user"`
	Standing string        `json:"standing"`
	Deadline *time.Time    `json:"deadline"`
	Frozen   *freezeAnswer `json:"frozen,omitempty"`
	// Changed is false when it was so already.
	Changed bool `json:"changed"`
}

type freezeAnswer struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Reference string    `json:"reference"`
	Reason    string    `json:"reason,omitempty"`
}

func freezeAccount(ctx context.Context, app *App, q accountQuestion) (*accountAnswer, error) {
	return changeAccount(ctx, app, q, "why this account is frozen", (*verify.Flow).Freeze)
}

func unfreezeAccount(ctx context.Context, app *App, q accountQuestion) (*accountAnswer, error) {
	return changeAccount(ctx, app, q, "why this account may go on", (*verify.Flow).Unfreeze)
}

func revokeDevices(ctx context.Context, app *App, q accountQuestion) (*accountAnswer, error) {
	return changeAccount(ctx, app, q, "why this person's browsers are no longer trusted", (*verify.Flow).RevokeFor)
}

// changeAccount finds the account that is meant and changes it. change gives no account when there is none.
func changeAccount(ctx context.Context, app *App, q accountQuestion, why string,
	change func(*verify.Flow, context.Context, verify.Subject, string) (*policy.Account, bool, error)) (*accountAnswer, error) {
	reason, err := readReason(q.Reason, why)
	if err != nil {
		return nil, err
	}
	subject, err := app.subject(q)
	if err != nil {
		return nil, err
	}
	live, err := app.live(ctx)
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, err)
	}
	a, changed, err := change(live.flow, ctx, subject, reason)
	switch {
	case errors.Is(err, verify.ErrUnavailable):
		return nil, refuse(http.StatusServiceUnavailable, err)
	case err != nil:
		return nil, err
	case a == nil:
		return nil, refuse(http.StatusNotFound, fmt.Errorf("nobody in the realm %q is called so; user IDs are compared letter by letter", subject.Realm))
	}
	return app.describe(a, changed), nil
}

func (a *App) describe(account *policy.Account, changed bool) *accountAnswer {
	answer := &accountAnswer{Realm: account.Realm, User: account.User, Changed: changed}
	rules, _ := a.Settings.rules() // they were checked when the configuration was loaded
	now := time.Now()
	standing, deadline := rules.Standing(account.Facts(now), now)
	answer.Standing = standing.String()
	if !deadline.IsZero() {
		deadline = deadline.UTC()
		answer.Deadline = &deadline
	}
	if f := account.Frozen; f != nil {
		answer.Frozen = &freezeAnswer{At: f.At.UTC(), By: f.By, Reference: f.Reference, Reason: f.Reason}
	}
	return answer
}

// subject is the account that a question names, in the spelling that the gates of its realm use.
func (a *App) subject(q accountQuestion) (verify.Subject, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var realms []string
	fold := false
	for _, g := range a.gates {
		if !slices.Contains(realms, g.realm) {
			realms = append(realms, g.realm)
		}
		fold = fold || g.fold && (q.Realm == "" || q.Realm == g.realm)
	}
	slices.Sort(realms)
	realm := q.Realm
	switch {
	case realm == "" && len(realms) == 1:
		realm = realms[0]
	case realm == "":
		return verify.Subject{}, refuse(http.StatusBadRequest, fmt.Errorf("realm: say which one; there are: %s", strings.Join(realms, ", ")))
	case !slices.Contains(realms, realm):
		return verify.Subject{}, refuse(http.StatusBadRequest, fmt.Errorf("realm %q: no gate has it; there are: %s", realm, strings.Join(realms, ", ")))
	}
	user, err := identity.Canonical(q.User, fold)
	if err != nil || user == "" {
		return verify.Subject{}, refuse(http.StatusBadRequest, errors.New("user: this can be nobody's user ID; use up to 256 bytes of UTF-8 without control characters"))
	}
	return verify.Subject{Realm: realm, User: user}, nil
}

func accountsCommand() *cobra.Command {
	accounts := &cobra.Command{
		Use:   "accounts <command>",
		Short: "Freezes accounts, lets them go on, ends the trust in browsers",
		Long: `
Changes single accounts of a running Caddy, through its admin endpoint. Every change needs a reason,
which goes to the audit log.`,
	}
	accounts.AddCommand(
		accountCommand("freeze", "Stops an account until it is unfrozen", `
Stops an account: whoever is signed in as this user is shown one page, with a reference and a way to
ask for help, and reaches nothing else. Codes that are on their way end, and so does what browsers
have earned. Confirming a contact does not lift it.

  contactgate gate accounts freeze ann --reason "laptop stolen, ticket 4711"`),
		accountCommand("unfreeze", "Lets a frozen account go on", `
Lets an account go on that was frozen, by an operator or by a person who said that a change of the
contacts was not theirs. It also lifts contacts that were stopped after too many wrong codes.

  contactgate gate accounts unfreeze ann --reason "called back on the number of the HR file"`),
		accountCommand("revoke", "Ends the trust in all browsers of an account", `
Ends the trust in every browser that this user ticked as their own, at once, and with device_code the
codes that were entered in any browser lately. They are asked for a code again.

  contactgate gate accounts revoke ann --reason "phone lost on the train"`))
	return accounts
}

// accountCommand is "gate accounts <verb> USER": it asks the admin route of the same name.
func accountCommand(verb, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " <user> --reason <text> [--realm <name>]",
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE:  caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) { return runAccount(verb, flags) }),
	}
	adminFlags(cmd)
	cmd.Flags().String("realm", "", "The realm of the user ID; may be left out when there is one")
	cmd.Flags().String("reason", "", "Why, for the audit log")
	cmd.Flags().Bool("json", false, "Print the answer as JSON")
	return cmd
}

func runAccount(verb string, flags caddycmd.Flags) (int, error) {
	question := accountQuestion{Realm: flags.String("realm"), User: flags.Arg(0), Reason: flags.String("reason")}
	if strings.TrimSpace(question.Reason) == "" {
		return caddy.ExitCodeFailedStartup, errors.New("--reason: say why; it goes to the audit log")
	}
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var answer accountAnswer
	if status, err := askAdmin(address, "/contactgate/accounts/"+verb, question, &answer); err != nil {
		return status, err
	}
	if err := printAccount(flags.Bool("json"), &answer); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

func printAccount(asJSON bool, answer *accountAnswer) error {
	if asJSON {
		return printJSON(answer)
	}
	fmt.Print(accountTable(answer))
	return nil
}

func printJSON(answer any) error {
	text, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}

func accountTable(a *accountAnswer) string {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(name, value string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", name, value) }
	line("realm", printable(a.Realm))
	line("user", printable(a.User))
	line("standing", a.Standing)
	if a.Deadline != nil {
		line("deadline", a.Deadline.Format(time.RFC3339))
	}
	if f := a.Frozen; f != nil {
		line("frozen", f.At.Format(time.RFC3339)+" by the "+f.By)
		line("reference", f.Reference)
		if f.Reason != "" {
			line("reason", printable(f.Reason))
		}
	}
	if !a.Changed {
		line("", "nothing was changed: it was so already")
	}
	_ = table.Flush() // all of it into memory, which does not fail
	return out.String()
}

// printable keeps what somebody chose from steering the terminal that it is shown in.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	if inner := quoted[1 : len(quoted)-1]; inner != s {
		return quoted
	}
	return s
}
