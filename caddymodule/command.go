package caddymodule

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/contactgate/contactgate/internal/verify"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gate",
		Usage: "<command>",
		Short: "Looks after contactgate: demo, doctor, accounts, keys, migrate",
		Long: `
Looks after contactgate, the gate that has people confirm a contact after they signed in.

Exit status: 0 fine; 1 wrong usage or another error; 2 the admin endpoint cannot be reached;
3 the answer is no.`,
		CobraFunc: func(gate *cobra.Command) {
			gate.AddCommand(doctorCommand(), accountsCommand(), keysCommand(), demoCommand(), migrateCommand())
		},
	})
}

// Exit statuses beside Caddy's own (0 fine, 1 any other error).
const (
	exitUnreachable = 2
	exitNo          = 3
)

func doctorCommand() *cobra.Command {
	doctor := &cobra.Command{
		Use:   "doctor [--accept-empty-store --reason <text>]",
		Short: "Checks what runs: the store, the keys, the senders",
		Long: `
Asks the running Caddy, through its admin endpoint, whether contactgate can work: whether the account
store is the one that it knows and its keys fit, and whether what carries mail, texts and calls takes a
connection, TLS and the login. Nothing is sent.

A store that has lost its name, say after a disk was replaced, is not used: all who are signed in
would look new. Restore it from a backup, or, if it is meant to be new, say so:

  contactgate gate doctor --accept-empty-store --reason "new server, no accounts yet"

The reason goes to the audit log.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runDoctor),
	}
	adminFlags(doctor)
	doctor.Flags().Bool("accept-empty-store", false, "Take the store as it is from now on")
	doctor.Flags().String("reason", "", "Why the store may be empty")
	doctor.Flags().Bool("json", false, "Print the answer as JSON")
	return doctor
}

// adminFlags are those of Caddy's own commands.
func adminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "The address of the administration API, if not the default")
	cmd.Flags().StringP("config", "c", "", "Configuration file to find the address in")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply")
}

func runDoctor(flags caddycmd.Flags) (int, error) {
	accept, reason := flags.Bool("accept-empty-store"), flags.String("reason")
	if accept != (strings.TrimSpace(reason) != "") {
		return caddy.ExitCodeFailedStartup, errors.New("--accept-empty-store and --reason go together")
	}
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if accept {
		if status, err := askAdmin(address, "/contactgate/store/accept", acceptQuestion{reason}, &acceptAnswer{}); err != nil {
			return status, err
		}
	}
	var answer doctorAnswer
	if status, err := askAdmin(address, "/contactgate/doctor", doctorQuestion{}, &answer); err != nil {
		return status, err
	}
	if err := printDoctor(flags.Bool("json"), &answer); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if !answer.OK {
		return exitNo, errNotWell
	}
	return caddy.ExitCodeSuccess, nil
}

var errNotWell = errors.New("not all is well")

func printDoctor(asJSON bool, answer *doctorAnswer) error {
	if asJSON {
		return printJSON(answer)
	}
	fmt.Print(doctorTable(answer))
	return nil
}

func doctorTable(answer *doctorAnswer) string {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, f := range answer.Findings {
		state := "ok"
		if !f.OK {
			state = "NO"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", f.Check, state, f.Detail)
		if f.Remedy != "" {
			_, _ = fmt.Fprintf(table, "\t\t→ %s\n", f.Remedy)
		}
	}
	_ = table.Flush() // all of it into memory, which does not fail
	return out.String()
}

// askAdmin asks the running Caddy. Beside the error it returns the exit status that tells it apart.
func askAdmin(address, route string, question, answer any) (int, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	response, err := caddycmd.AdminAPIRequest(address, http.MethodPost, route, nil, bytes.NewReader(body))
	if err != nil {
		return statusOf(err), fmt.Errorf("asking the admin endpoint at %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("reading the answer: %w", err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("reading the answer: %w", err)
	}
	return caddy.ExitCodeSuccess, nil
}

// statusOf reads what happened from the words of Caddy's client, which has no types for it.
func statusOf(err error) int {
	var status int
	if _, scan := fmt.Sscanf(err.Error(), "caddy responded with error: HTTP %d", &status); scan == nil {
		if status == http.StatusConflict || status == http.StatusForbidden || status == http.StatusNotFound {
			return exitNo
		}
		return caddy.ExitCodeFailedStartup
	}
	if strings.HasPrefix(err.Error(), "performing request:") {
		return exitUnreachable
	}
	return caddy.ExitCodeFailedStartup
}

func keysCommand() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys <command>",
		Short: "Makes key rings",
		Long: `
Makes key rings for the option "keys". Without that option contactgate makes a ring by itself and
keeps it in Caddy's storage.`,
	}
	keys.AddCommand(&cobra.Command{
		Use:   "new",
		Short: "Prints a new key ring",
		Long: `
Prints a new key ring. Keep it in a file that only Caddy can read, and name that file:

  contactgate gate keys new > /run/secrets/contactgate_keys

  contactgate {
  	keys {file./run/secrets/contactgate_keys}
  }

A store can be read only with the ring that it was begun with: keep a copy apart from the backups
of the store.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			ring, err := verify.NewKeyring(rand.Reader)
			if err != nil {
				return caddy.ExitCodeFailedStartup, err
			}
			fmt.Print(ring)
			return caddy.ExitCodeSuccess, nil
		}),
	})
	return keys
}
