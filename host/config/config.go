package config

import "time"

// Config is all that an operator can choose. The doc comments give units and meaning; Default gives
// the values of a node nobody configured.
type Config struct {
	Network       Network       `koanf:"network"`
	Storage       Storage       `koanf:"storage"`
	Replication   Replication   `koanf:"replication"`
	Maintenance   Maintenance   `koanf:"maintenance"`
	Performance   Performance   `koanf:"performance"`
	Policy        Policy        `koanf:"policy"`
	API           API           `koanf:"api"`
	Metrics       Metrics       `koanf:"metrics"`
	Institutional Institutional `koanf:"institutional"`
	Log           Log           `koanf:"log"`
}

// Network says where the node is and whom it asks first.
type Network struct {
	Listen    string   `koanf:"listen"`    // UDP host:port; port 0 takes a free one
	Advertise string   `koanf:"advertise"` // host:port others reach this node at; "" is what it listens on
	Bootstrap []string `koanf:"bootstrap"` // host:port or nodeid@host:port; see ParseBootstrap
	PowBits   int      `koanf:"pow_bits"`  // leading zero bits of every node id, own and others'
}

// Storage says how the disk is used.
type Storage struct {
	Sync     string   `koanf:"sync"`      // SyncFull or SyncNormal
	MinFree  Size     `koanf:"min_free"`  // free space below which nothing more is taken
	LockWait Duration `koanf:"lock_wait"` // how long to wait for a data directory in use
}

// The values of Storage.Sync. Both sync before anything is acknowledged.
const (
	SyncFull   = "full"   // each object by itself
	SyncNormal = "normal" // the objects of one operation may be synced together
)

// Replication says how safe is safe enough, and what it may cost.
type Replication struct {
	Replicas            int      `koanf:"replicas"`             // least number of distinct peers of a tessera
	PerSubnet           int      `koanf:"per_subnet"`           // most peers of one /24 or /48; 0 is no cap
	Strict              bool     `koanf:"strict"`               // the cap never yields
	ConcurrentTransfers int      `koanf:"concurrent_transfers"` // fragments on their way at once
	DeficitAllowance    Size     `koanf:"deficit_allowance"`    // what an owner may owe us
	PeerLimit           Size     `koanf:"peer_limit"`           // most bytes kept for one owner
	RepairInterval      Duration `koanf:"repair_interval"`      // between two maintenance rounds
	RepairJitter        Duration `koanf:"repair_jitter"`        // added or taken away at random
	ProofsPerHolder     int      `koanf:"proofs_per_holder"`    // fragments sampled of each holder a round
	RepairBandwidth     Size     `koanf:"repair_bandwidth"`     // bytes a second; 0 is no limit
}

// Maintenance says how the node looks after its own disk.
type Maintenance struct {
	ScrubPeriod Duration `koanf:"scrub_period"` // every object is read once in it
	ScrubRate   Size     `koanf:"scrub_rate"`   // bytes a second; 0 is what the period needs
}

// Performance says how much memory may buy speed.
type Performance struct {
	IndexCache     Size     `koanf:"index_cache"`
	FragmentCache  Size     `koanf:"fragment_cache"` // 0 is off
	MaxConnections int      `koanf:"max_connections"`
	IdleTimeout    Duration `koanf:"idle_timeout"`    // after which an unused connection is closed
	ReaperInterval Duration `koanf:"reaper_interval"` // between two looks for such connections
}

// Policy says which policies decide.
type Policy struct {
	Defaults      bool     `koanf:"defaults"`       // the default policies come last
	DecisionsKept Size     `koanf:"decisions_kept"` // log of decisions; the oldest go first
	Placement     []Plugin `koanf:"placement"`
	Reciprocity   []Plugin `koanf:"reciprocity"`
	Repair        []Plugin `koanf:"repair"`
}

// Plugin is one policy of the operator's.
type Plugin struct {
	Name      string         // unique within its list
	Role      string         // RoleGuard or RoleDecider
	Source    string         // path of a WASM module, or exec:/path of a program
	SHA256    string         // 64 lower-case hexadecimal digits; "" does not check
	OnFailure string         // FailClosed or FailSkip
	Config    map[string]any // the plugin's own
}

// The values of Plugin.Role and Plugin.OnFailure.
const (
	RoleGuard   = "guard"   // may exclude and lower, never loosen
	RoleDecider = "decider" // gives the answer, or passes
	FailClosed  = "closed"  // defer and alarm
	FailSkip    = "skip"    // go on without it
)

// API says who may use the local API.
type API struct {
	Group string `koanf:"group"` // members may use the socket; "" is the node's own user alone
}

// Metrics says where metrics can be read.
type Metrics struct {
	Listen string `koanf:"listen"` // TCP host:port; "" is off
}

// Institutional says what a library or an archive claims to be. Others verify it for themselves.
type Institutional struct {
	Domain   string `koanf:"domain"`
	Pledge   Size   `koanf:"pledge"`   // bytes promised to the network
	Operator string `koanf:"operator"` // who runs this node; nodes of one operator count as one
}

// Log says what is logged.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn or error
	Format string `koanf:"format"` // text or json
}

// Default is the configuration of a node nobody configured.
func Default() Config {
	const day = 24 * time.Hour
	return Config{
		Network: Network{Listen: ":4433", Bootstrap: []string{}, PowBits: 16},
		Storage: Storage{Sync: SyncFull, MinFree: GiB, LockWait: Duration(5 * time.Second)},
		Replication: Replication{
			Replicas: 7, PerSubnet: 2, ConcurrentTransfers: 4,
			DeficitAllowance: 256 * MiB, PeerLimit: GiB,
			RepairInterval: Duration(day), RepairJitter: Duration(2 * time.Hour), ProofsPerHolder: 8,
		},
		Maintenance: Maintenance{ScrubPeriod: Duration(30 * day)},
		Performance: Performance{
			IndexCache: 32 * MiB, FragmentCache: 32 * MiB, MaxConnections: 256,
			IdleTimeout: Duration(2 * time.Minute), ReaperInterval: Duration(30 * time.Second),
		},
		Policy: Policy{
			Defaults: true, DecisionsKept: 64 * MiB,
			Placement: []Plugin{}, Reciprocity: []Plugin{}, Repair: []Plugin{},
		},
		Log: Log{Level: "info", Format: "text"},
	}
}
