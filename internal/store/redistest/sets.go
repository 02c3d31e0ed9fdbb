package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Sentinels are a master, its replicas, and three Sentinels that watch over them.
type Sentinels struct {
	// Name is what Sentinels call the master.
	Name string
	// Servers are the master of the beginning and its replicas.
	Servers   []*Server
	Sentinels []*Server
}

// StartSentinels waits until all know each other and the replicas are in sync. A master that does not answer for a
// second is replaced.
func StartSentinels(t testing.TB, replicas int) *Sentinels {
	t.Helper()
	set := &Sentinels{Name: "accounts"}
	master := Start(t, "--appendfsync", "everysec")
	set.Servers = append(set.Servers, master)
	for range replicas {
		set.Servers = append(set.Servers, Start(t, "--appendfsync", "everysec", "--replicaof", "127.0.0.1 "+port(master.Addr)))
	}
	master.InSync(int64(replicas))
	for range 3 {
		set.Sentinels = append(set.Sentinels, startSentinel(t, set.Name, master))
	}
	for _, s := range set.Sentinels {
		s.WaitFor("the others", 15*time.Second, func() bool {
			return strings.HasSuffix(s.Info("master0"), fmt.Sprintf("slaves=%d,sentinels=3", replicas))
		})
	}
	return set
}

func startSentinel(t testing.TB, name string, master *Server) *Server {
	t.Helper()
	s := newServer(t, "redis-sentinel", nil)
	// A Sentinel writes its configuration anew, so it takes a file and no arguments.
	file := filepath.Join(s.folder, "sentinel.conf")
	text := fmt.Sprintf(`port %[1]s
bind 127.0.0.1
dir %[2]s
logfile %[2]s/log
sentinel monitor %[3]s 127.0.0.1 %[4]s 2
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 3000
`, port(s.Addr), s.folder, name, port(master.Addr))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{file}
	s.Start()
	return s
}

// Master is the server that the Sentinels name as master now.
func (set *Sentinels) Master() *Server {
	for _, sentinel := range set.Sentinels {
		for _, s := range set.Servers {
			if strings.Contains(sentinel.Info("master0"), "address="+s.Addr+",") {
				return s
			}
		}
	}
	return nil
}

// Addrs are the addresses of the Sentinels.
func (set *Sentinels) Addrs() []string { return addrs(set.Sentinels) }

// URL names the Sentinels for a Caddyfile.
func (set *Sentinels) URL() string { return "redis://" + strings.Join(set.Addrs(), ",") }

// Cluster is a Redis Cluster: its first half began as masters, each with one replica in the second.
type Cluster struct {
	Nodes []*Server
}

// StartCluster makes a Cluster of so many masters with a replica each, and waits until it is well. A master that does not
// answer for a second is replaced.
func StartCluster(t testing.TB, masters int) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 2 * masters {
		c.Nodes = append(c.Nodes, StartNode(t))
	}
	first := c.Nodes[0]
	for i, n := range c.Nodes {
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i > 0 {
			first.Do("CLUSTER", "MEET", "127.0.0.1", port(n.Addr), busOf(n))
		}
	}
	const slots = 16384
	for i := range masters {
		c.Nodes[i].Do("CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
	}
	for i, n := range c.Nodes[masters:] {
		id := c.Nodes[i].Do("CLUSTER", "MYID").(string)
		n.WaitFor("the node that it copies", 20*time.Second, func() bool { return n.Try("CLUSTER", "REPLICATE", id) == nil })
	}
	for i, n := range c.Nodes {
		n.WaitFor("a whole cluster", 20*time.Second, func() bool {
			info, err := n.client.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", 2*masters)) &&
				(i < masters && n.hasCopy() || i >= masters && n.Info("master_link_status") == "up")
		})
	}
	return c
}

// hasCopy tells whether a replica has said how much it has: from then on it counts as in sync.
func (s *Server) hasCopy() bool {
	replica := s.Info("slave0")
	return strings.Contains(replica, "state=online") && !strings.Contains(replica, "offset=0,")
}

// StartNode runs one node that belongs to no Cluster yet.
func StartNode(t testing.TB) *Server {
	t.Helper()
	s := New(t, "--appendfsync", "everysec", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-config-file", "nodes.conf",
		"--cluster-port", freePort(t), "--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no")
	s.Start()
	return s
}

func busOf(s *Server) string {
	for i, word := range s.args {
		if word == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// URL names the nodes for a Caddyfile.
func (c *Cluster) URL() string { return "redis://" + strings.Join(c.Addrs(), ",") }

// Masters are the nodes that are masters now.
func (c *Cluster) Masters() []*Server {
	var found []*Server
	for _, n := range c.Nodes {
		if n.Info("role") == "master" {
			found = append(found, n)
		}
	}
	return found
}

func addrs(servers []*Server) []string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Addr)
	}
	return list
}

// MoveSlot moves a slot from one master of a Cluster to another, as redis-cli --cluster reshard does, with a pause after
// each key, and tells all nodes.
func (c *Cluster) MoveSlot(slot int64, from, to *Server, pause time.Duration) {
	from.t.Helper()
	source, target := from.Do("CLUSTER", "MYID"), to.Do("CLUSTER", "MYID")
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	for {
		keys := from.Do("CLUSTER", "GETKEYSINSLOT", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do("MIGRATE", "127.0.0.1", port(to.Addr), keys[0], 0, 2000)
		time.Sleep(pause)
	}
	for _, n := range c.Masters() {
		n.Do("CLUSTER", "SETSLOT", slot, "NODE", target)
	}
}
