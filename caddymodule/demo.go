package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/demo"
	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

func demoCommand() *cobra.Command {
	d := demonstration{Out: os.Stdout}
	var configOnly bool
	cmd := &cobra.Command{
		Use:   "demo [--to <url>] [--listen 127.0.0.1:8080]",
		Short: "Shows the whole thing on this machine, with nothing to set up",
		Long: `
Starts a sign-in with people in different states, the gate, a small app behind it, and an outbox in
the browser where mails, texts and calls show up. Nobody receives any. Ctrl-C stops it.

It listens on this machine only. All that it keeps is in a temporary folder that goes when it stops;
the data, the configuration and the running server of a Caddy on this machine are left alone.

Put the gate in front of an app of yours instead of the small one:

  contactgate gate demo --to http://localhost:3000

The app finds out who is signed in from the request header Remote-User.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if configOnly {
				return d.printConfig()
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
			return d.run(ctx)
		},
	}
	cmd.Flags().StringVar(&d.Listen, "listen", "127.0.0.1:8080", "Address to open in the browser; of this machine only")
	cmd.Flags().StringVar(&d.To, "to", "", "An app of yours, http://host:port, in place of the small one")
	cmd.Flags().BoolVar(&configOnly, "print-config", false, "Print the Caddyfile that the demo runs, and exit")
	return cmd
}

// demonstration is one run of the demo.
type demonstration struct {
	Listen, To string
	Out        io.Writer

	listen netip.AddrPort
	app    string // where the gate sends requests on to
}

// run starts everything, and stops it when the context ends. Nothing is left behind.
func (d *demonstration) run(ctx context.Context) (err error) {
	if err := errors.Join(d.checkListen(), d.checkTo()); err != nil {
		return err
	}
	if err := d.takePort(ctx); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "contactgate-demo-")
	if err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := prepareDemo(ctx, folder); err != nil {
		return err
	}
	pages, stopPages, err := serveLocally(ctx, demo.Pages(demo.Config{Mail: demoMail, State: demoState, App: d.To, GatePrefix: defaultPrefix}))
	if err != nil {
		return err
	}
	defer stopPages()
	if d.To == "" {
		app, stopApp, err := serveLocally(ctx, demo.App())
		if err != nil {
			return err
		}
		defer stopApp()
		d.app = app
	}
	config, err := d.caddyfile(folder, pages)
	if err != nil {
		return err
	}
	return d.serve(ctx, config, folder)
}

// serve runs Caddy with the configuration until the context ends.
func (d *demonstration) serve(ctx context.Context, config []byte, folder string) error {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(config, map[string]any{"filename": "demo"})
	if err != nil {
		return fmt.Errorf("the demo's Caddyfile: %w", err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		return fmt.Errorf("starting the demo: %w", err)
	}
	d.greet(folder)
	<-ctx.Done()
	_, _ = fmt.Fprintln(d.Out, "\nStopping.")
	if err := caddy.Stop(); err != nil {
		return fmt.Errorf("stopping the demo: %w", err)
	}
	return nil
}

// checkListen refuses an address that other machines reach: anybody may be anybody here.
func (d *demonstration) checkListen() error {
	const example = "use --listen 127.0.0.1:8080, or another port"
	host, port, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: not an address with a port; %s", d.Listen, example)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil && host != "" {
		return fmt.Errorf("--listen %q: not an IP address with a port; %s", d.Listen, example)
	}
	if host == "" || !address.Addr().IsLoopback() {
		return fmt.Errorf("--listen %q: other machines could reach it, and in the demo anybody may be anybody and read the mail; %s", d.Listen, example)
	}
	d.listen = address
	return nil
}

func (d *demonstration) checkTo() error {
	if d.To == "" {
		return nil
	}
	u, err := url.Parse(d.To)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--to %q: not the address of a web app; write it as http://localhost:3000", d.To)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("--to %q: leave out everything but scheme, host and port: --to %s://%s", d.To, u.Scheme, u.Host)
	}
	if strings.ContainsAny(u.Host, "{}\"` ") {
		return fmt.Errorf("--to %q: not a host name", d.To)
	}
	d.app = u.Scheme + "://" + u.Host
	return nil
}

// takePort finds out whether the port is free, and which it is when any would do. Caddy itself shares a port with
// another Caddy without a word.
func (d *demonstration) takePort(ctx context.Context) error {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", d.listen.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program; choose another port, such as --listen %s", d.listen, netip.AddrPortFrom(d.listen.Addr(), d.listen.Port()+1))
	}
	if err != nil {
		return fmt.Errorf("--listen %s: %w; choose another address, such as --listen 127.0.0.1:8081", d.listen, err)
	}
	d.listen = l.Addr().(*net.TCPAddr).AddrPort()
	return l.Close()
}

const (
	demoStore = "accounts.db"
	demoKeys  = "keys"
)

// prepareDemo makes the keys and the accounts of those who have a history, as the gate would have.
func prepareDemo(ctx context.Context, folder string) error {
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, demoKeys), []byte(ring), 0o600); err != nil {
		return fmt.Errorf("keeping the demo's keys: %w", err)
	}
	keys, err := verify.ParseKeyring(ring)
	if err != nil {
		return err
	}
	silent := slog.New(slog.DiscardHandler)
	accounts := store.NewBolt(store.BoltConfig{Path: filepath.Join(folder, demoStore), Log: silent})
	err = demo.Prepare(ctx, verify.Config{Store: accounts, Keys: keys, Log: silent, Audit: silent}, defaultRealm)
	return errors.Join(err, accounts.Close())
}

// serveLocally serves on a free port of this machine.
func serveLocally(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("finding a free port: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

func demoMail() []delivery.Received {
	box, ok := Outbox("demo")
	if !ok {
		return nil
	}
	return box.Messages()
}

// demoState reads what the gate knows of somebody, and changes nothing.
func demoState(ctx context.Context, user string) (demo.State, error) {
	running, err := caddy.ActiveContext().AppIfConfigured("contactgate")
	if err != nil {
		return demo.State{}, err
	}
	live, err := running.(*App).live(ctx)
	if err != nil {
		return demo.State{}, err
	}
	account, err := live.flow.Account(ctx, verify.Visitor{Realm: defaultRealm, User: user})
	if err != nil {
		return demo.State{}, err
	}
	if account == nil {
		account = &policy.Account{}
	}
	now, rules := time.Now(), policy.Defaults()
	state := demo.State{Contacts: len(account.Contacts)}
	state.Standing, state.Deadline = rules.Standing(account.Facts(now), now)
	return state, nil
}

// timeZone is the one that this machine names, so that the pages show the times of whoever looks at them. Empty: none.
func timeZone() string {
	name := os.Getenv("TZ")
	if name == "" {
		target, err := os.Readlink("/etc/localtime")
		if err != nil {
			return ""
		}
		_, name, _ = strings.Cut(filepath.ToSlash(target), "/zoneinfo/")
	}
	if _, err := time.LoadLocation(name); err != nil || name == "" {
		return ""
	}
	return name
}

// demoCaddyfile is the configuration of the demo. It keeps away from Caddy's own data: no admin endpoint, no saved
// configuration, no certificates, and no cleaning of the storage, which would write an instance ID to the data folder.
var demoCaddyfile = template.Must(template.New("demo").Parse(`{
	admin off
	persist_config off
	auto_https off
	storage file_system "{{.Folder}}/storage"
	storage_check off
	storage_clean_interval off
	grace_period 1s
	log {
		output stderr
		format console
		level ERROR
	}

	contactgate {
		store bolt "{{.Folder}}/{{.Store}}"
		keys "{file.{{.Folder}}/{{.Keys}}}"
		email outbox demo
		sms outbox demo
		voice outbox demo
		channels US CA GB DE FR ES BR CN TW KR AE EG SA sms voice
		channels JP voice
		device_code on
		brand "Example Notes"
		support mailto:help@example.com
		sign_out {{.SignOut}}
		{{- with .Zone}}
		time_zone {{.}}
		{{- end}}
	}
}

http://{{.Listen}}, http://localhost:{{.Port}} {
	bind {{.Host}}

	# The sign-in and the outbox, in front of which there is no gate.
	handle {{.Prefix}}/* {
		reverse_proxy {{.Pages}}
	}

	# Everything else: who is it, may they go on, the app.
	handle {
		forward_auth {{.Pages}} {
			uri {{.Auth}}
			copy_headers Remote-User Remote-Email Remote-Phone Remote-Name Remote-Language>Accept-Language
		}
		contactgate {
			identity {header.Remote-User} {
				email {header.Remote-Email}
				phone {header.Remote-Phone}
				set_by forward_auth
			}
			pass_headers email
		}
		reverse_proxy {{.App}}
	}
}
`))

// caddyfile is the configuration of this run.
func (d *demonstration) caddyfile(folder, pages string) ([]byte, error) {
	var text bytes.Buffer
	err := demoCaddyfile.Execute(&text, map[string]any{
		"Folder": filepath.ToSlash(folder), "Store": demoStore, "Keys": demoKeys,
		"Listen": d.listen, "Port": d.listen.Port(), "Host": d.listen.Addr(),
		"Prefix": demo.Prefix, "SignOut": demo.SignOut, "Zone": timeZone(), "Auth": demo.Auth, "Pages": pages, "App": d.app,
	})
	return text.Bytes(), err
}

func (d *demonstration) printConfig() error {
	if err := errors.Join(d.checkListen(), d.checkTo()); err != nil {
		return err
	}
	if d.app == "" {
		d.app = "127.0.0.1:9002"
	}
	text, err := d.caddyfile("/tmp/contactgate-demo", "127.0.0.1:9001")
	if err != nil {
		return err
	}
	_, err = d.Out.Write(text)
	return err
}

// greet says what to open and what to try.
func (d *demonstration) greet(folder string) {
	site := "http://" + d.listen.String()
	app := "a small app, behind a sign-in and the gate"
	if d.To != "" {
		app = d.To + ", behind a sign-in and the gate"
	}
	_, _ = fmt.Fprintf(d.Out, `
contactgate demo

  Open     %[1]s/
           %[2]s
  Outbox   %[1]s%[3]s
           every mail, text and call that the gate sends; nobody receives any

  Try
  1. Sign in as An Long. The gate asks before the app opens. Answer wrong once, then with
     an.long@example.com; take the code from the outbox, enter it, and land where you were going.
  2. Sign out, and sign in as Ben Ortiz: his time is over. He gets in by confirming ben.ortiz@example.com.
  3. Sign in as 佐藤 花子 and press "not now". Her pages are in Japanese; every page can be switched.
  4. Sign in as Deniz Kaya, who has nothing on file, and add an address, or a number: 07400 123456 in Great Britain.
  5. Sign in as 田中 陽翔, who has a phone only: show that you know it ends in 5634, and take the call.
  6. Sign in as Chloé Martin, who confirmed hers in another browser. Tick "I use this device often", sign out and
     in again, and never meet the gate. Set up an authenticator app when it is offered, if you like.

  Start it again to have everybody as they were. Ctrl-C stops it and removes %[4]s.
`, site, app, demo.Outbox, folder)
}
