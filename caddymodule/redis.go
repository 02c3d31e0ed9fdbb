package caddymodule

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/store"
)

func init() { caddy.RegisterModule(new(Redis)) }

// Redis keeps accounts on a Redis server, on a set that Sentinels watch over, or on a Redis Cluster, for any number of
// Caddy processes. All of them need the same keys: share Caddy's storage among them, or name a ring with `keys`.
//
// Redis 6.2 or newer, or Valkey, with `maxmemory-policy noeviction`. A confirmation is safe when Redis has a replica in
// sync, which every write then waits for, or, on a lone server, with `appendonly yes` and `appendfsync always`.
type Redis struct {
	// Where Redis is: `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS. Several hosts, of a Cluster
	// or of Sentinels, stand with commas between them. May use placeholders, such as `redis://gate:{env.REDIS_PASSWORD}@10.0.0.5`.
	URL string `json:"url,omitempty"`

	// The URL names nodes of a Redis Cluster; one that answers is enough.
	Cluster bool `json:"cluster,omitempty"`

	// What Sentinels call the set. The URL then names Sentinels, while user, password and database are those of the
	// servers.
	SentinelMaster string `json:"sentinel_master,omitempty"`

	// The login, where it is not in the URL. May use placeholders.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`

	// The login at the Sentinels. Default: none. May use placeholders.
	SentinelUsername string `json:"sentinel_username,omitempty"`
	SentinelPassword string `json:"sentinel_password,omitempty"`

	// A file with the certificates that the servers' must be signed with. Default: those that the system trusts.
	CA string `json:"ca,omitempty"`

	// Files with a certificate of ours and its key, where Redis asks for one.
	Certificate    string `json:"certificate,omitempty"`
	CertificateKey string `json:"certificate_key,omitempty"`

	// The name in the servers' certificates, where it is not the host that is connected to.
	ServerName string `json:"server_name,omitempty"`

	// What all keys begin with, and the channel for changes. Two installations may share a Redis under different names.
	// Default: `contactgate`.
	Namespace string `json:"namespace,omitempty"`

	*store.Redis `json:"-"`

	key string // in the pool; empty: nothing to give back
}

// CaddyModule returns the Caddy module information.
func (*Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.stores.redis", New: func() caddy.Module { return new(Redis) }}
}

// Provision fetches the handle that this process has for this Redis. Nothing is connected before the start.
func (r *Redis) Provision(ctx caddy.Context) error {
	config, err := r.config()
	if err != nil {
		return err
	}
	config.Log = ctx.Slogger()
	key := r.poolKey(config)
	handle, _, err := stores.LoadOrNew(key, func() (caddy.Destructor, error) { return store.NewRedis(config), nil })
	if err != nil {
		return fmt.Errorf("store redis: %w", err)
	}
	r.Redis, r.key = handle.(*store.Redis), key
	return nil
}

// Cleanup gives the handle back, once. Connections are closed when nobody has it any more.
func (r *Redis) Cleanup() error {
	if r.key == "" {
		return nil
	}
	key := r.key
	r.key = ""
	_, err := stores.Delete(key)
	return err
}

// poolKey holds everything that makes two handles different, and gives no secret away. A certificate that was replaced
// is another one.
func (r *Redis) poolKey(c store.RedisConfig) string {
	parts, _ := json.Marshal([]any{c.Addresses, c.Cluster, c.Master, c.Username, c.Password, c.SentinelUsername, c.SentinelPassword,
		c.Database, c.TLS != nil, c.Namespace, r.ServerName, contentOf(r.CA), contentOf(r.Certificate), contentOf(r.CertificateKey)})
	sum := sha256.Sum256(parts)
	return "redis " + hex.EncodeToString(sum[:])
}

func contentOf(file string) []byte {
	if file == "" {
		return nil
	}
	content, _ := os.ReadFile(file)
	return content
}

// config is what the store is made from: placeholders replaced, files read.
func (r *Redis) config() (store.RedisConfig, error) {
	u, err := parseRedisURL(r.URL)
	if err != nil {
		return store.RedisConfig{}, err
	}
	if err := r.check(u); err != nil {
		return store.RedisConfig{}, err
	}
	c := store.RedisConfig{Cluster: r.Cluster, Master: r.SentinelMaster, Namespace: r.Namespace}
	var hosts, database string
	for _, secret := range []struct {
		name, value string
		to          *string
	}{
		{"URL, host", u.hosts, &hosts}, {"URL, database", u.database, &database},
		{"URL, user", u.user, &c.Username}, {"URL, password", u.password, &c.Password},
		{"username", r.Username, &c.Username}, {"password", r.Password, &c.Password},
		{"sentinel_username", r.SentinelUsername, &c.SentinelUsername}, {"sentinel_password", r.SentinelPassword, &c.SentinelPassword},
	} {
		if secret.value == "" {
			continue
		}
		var expandErr error
		*secret.to, expandErr = expand("store redis "+secret.name, secret.value)
		err = errors.Join(err, expandErr)
	}
	if err != nil {
		return c, err
	}
	port := "6379"
	if r.SentinelMaster != "" {
		port = "26379"
	}
	if c.Addresses, err = hostsAndPorts(hosts, port); err != nil {
		return c, err
	}
	if !r.Cluster && r.SentinelMaster == "" && len(c.Addresses) > 1 {
		return c, fmt.Errorf("store redis: %d hosts are named; write \"store redis cluster …\" or \"store redis sentinel NAME …\", or name one host", len(c.Addresses))
	}
	if database != "" {
		if c.Database, err = strconv.Atoi(database); err != nil || c.Database < 0 {
			return c, fmt.Errorf("store redis: the database %q is no number; write one after the host, such as /0, or leave it out", database)
		}
	}
	if r.Cluster && c.Database != 0 {
		return c, errors.New("store redis cluster: a Cluster has the database 0 only; remove the number")
	}
	if u.tls {
		c.TLS, err = r.tls()
	}
	return c, err
}

// check finds what does not go together.
func (r *Redis) check(u redisURL) error {
	switch {
	case r.Cluster && r.SentinelMaster != "":
		return errors.New("store redis: it is either a Cluster or watched over by Sentinels; choose one")
	case u.user != "" && r.Username != "", u.password != "" && r.Password != "":
		return errors.New("store redis: the login is in the URL and in the block; keep one")
	case (r.SentinelUsername != "" || r.SentinelPassword != "") && r.SentinelMaster == "":
		return errors.New("store redis: sentinel_username and sentinel_password are for \"store redis sentinel NAME …\"; remove them")
	case (r.CA != "" || r.Certificate != "" || r.ServerName != "") && !u.tls:
		return errors.New("store redis: ca, certificate and server_name are for TLS; write rediss:// instead of redis://, or remove them")
	case (r.Certificate == "") != (r.CertificateKey == ""):
		return errors.New("store redis: a certificate and its key go together; name both files")
	case r.Namespace != "" && !namespaceForm.MatchString(r.Namespace):
		return fmt.Errorf("store redis: the namespace %q must be 1 to 64 letters, digits, \".\", \"_\", \"-\" or \":\"", r.Namespace)
	}
	return nil
}

// namespaceForm has no braces: those make the hash tag of a key.
var namespaceForm = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

func (r *Redis) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.ServerName}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, fmt.Errorf("store redis ca: %w; name a file that Caddy can read", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("store redis ca: there is no certificate in %s; name a file in PEM form", r.CA)
		}
	}
	if r.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(r.Certificate, r.CertificateKey)
		if err != nil {
			return nil, fmt.Errorf("store redis certificate: %w; name a certificate and its key in PEM form", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// redisURL is an URL in its parts, each as it is written. The standard library's parser knows neither several hosts nor
// placeholders.
type redisURL struct {
	tls                             bool
	user, password, hosts, database string
}

// parseRedisURL never quotes the part that may hold a password.
func parseRedisURL(text string) (redisURL, error) {
	var u redisURL
	rest := text
	if after, ok := strings.CutPrefix(text, "rediss://"); ok {
		u.tls, rest = true, after
	} else if rest, ok = strings.CutPrefix(text, "redis://"); !ok {
		return u, errors.New("store redis: the URL must begin with redis:// or, for TLS, rediss://, such as redis://10.0.0.5:6379")
	}
	if i := outside(rest, "?#"); i >= 0 {
		return u, fmt.Errorf("store redis: options in the URL (%q) are not known; use the words of the block", rest[i:i+1])
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		login := rest[:i]
		rest = rest[i+1:]
		u.user = login
		if j := outside(login, ":"); j >= 0 {
			u.user, u.password = login[:j], login[j+1:]
		}
		for _, part := range []*string{&u.user, &u.password} {
			if strings.Contains(*part, "{") {
				continue // what it stands for is taken as it is
			}
			plain, err := url.PathUnescape(*part)
			if err != nil {
				return u, errors.New("store redis: user and password in the URL need their special characters written as %XX; or use placeholders")
			}
			*part = plain
		}
	}
	u.hosts = rest
	if i := outside(rest, "/"); i >= 0 {
		u.hosts, u.database = rest[:i], rest[i+1:]
	}
	if u.hosts == "" {
		return u, errors.New("store redis: the URL names no host; write one, such as redis://10.0.0.5:6379")
	}
	return u, nil
}

// outside finds the first of some characters that is not in a placeholder.
func outside(s, chars string) int {
	depth := 0
	for i, c := range s {
		switch {
		case c == '{':
			depth++
		case c == '}':
			depth--
		case depth == 0 && strings.ContainsRune(chars, c):
			return i
		}
	}
	return -1
}

func hostsAndPorts(list, defaultPort string) ([]string, error) {
	var addresses []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		host, port, err := net.SplitHostPort(one)
		if err != nil {
			host, port = strings.Trim(one, "[]"), defaultPort
			if strings.Count(one, ":") == 1 || strings.Contains(one, ":") && !strings.HasPrefix(one, "[") {
				return nil, fmt.Errorf("store redis: %q is not host:port", one)
			}
		}
		if n, err := strconv.Atoi(port); host == "" || err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("store redis: %q is not host:port", one)
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, nil
}

// UnmarshalCaddyfile reads:
//
//	store redis [cluster | sentinel <master>] <url> {
//		username          <name>
//		password          <secret>
//		sentinel_username <name>
//		sentinel_password <secret>
//		ca                <file>
//		certificate       <file> <key file>
//		server_name       <name>
//		namespace         <name>
//	}
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	args := d.RemainingArgs()
	switch {
	case len(args) == 1:
		r.URL = args[0]
	case len(args) == 2 && args[0] == "cluster":
		r.Cluster, r.URL = true, args[1]
	case len(args) == 3 && args[0] == "sentinel":
		r.SentinelMaster, r.URL = args[1], args[2]
	case len(args) == 2 && args[0] == "sentinel":
		return d.Err("store redis sentinel: name the master and the Sentinels, such as: store redis sentinel mymaster redis://s1:26379,s2:26379")
	default:
		return d.ArgErr()
	}
	u, err := parseRedisURL(r.URL)
	if err != nil {
		return d.Err(err.Error())
	}
	if err := eachWord(d, "store redis", func(word string) (bool, error) { return r.readWord(d, word) }); err != nil {
		return err
	}
	if err := r.check(u); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (r *Redis) readWord(d *caddyfile.Dispenser, word string) (bool, error) {
	if word == "certificate" {
		if !d.AllArgs(&r.Certificate, &r.CertificateKey) {
			return true, d.ArgErr()
		}
		return true, nil
	}
	to := map[string]*string{
		"username": &r.Username, "password": &r.Password, "sentinel_username": &r.SentinelUsername, "sentinel_password": &r.SentinelPassword,
		"ca": &r.CA, "server_name": &r.ServerName, "namespace": &r.Namespace,
	}[word]
	if to == nil {
		return false, nil
	}
	return true, oneArg(d, to)
}

// Interface guards
var (
	_ Store                 = (*Redis)(nil)
	_ store.Adopter         = (*Redis)(nil)
	_ opener                = (*Redis)(nil)
	_ caddy.Provisioner     = (*Redis)(nil)
	_ caddy.CleanerUpper    = (*Redis)(nil)
	_ caddyfile.Unmarshaler = (*Redis)(nil)
)
