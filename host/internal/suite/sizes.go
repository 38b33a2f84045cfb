package suite

// The sizes of all suites, by the goal they serve. CI runs the first figure, `make nightly` the second.
// What is not listed runs at the one size that it has.
var (
	// Crash points: the power goes before a call that changes the disk (G1).
	PowerStore   = Size{50_000, 5_000_000} // every sequence of up to three operations of the object store
	PowerCare    = Size{5_000, 200_000}    // what the store does to look after itself
	PowerJournal = Size{10_000, 500_000}
	PowerSidecar = Size{5_000, 200_000}
	PowerArchive = Size{3_000, 500_000} // creations and deletions
	PowerCustody = Size{800, 100_000}
	PowerSweep   = Size{500, 200_000}
	PowerLegacy  = Size{400, 50_000} // migrations

	// Planted bugs that the suites must find (G2): the ten of the list of threats, and three that lose or
	// multiply shards when a network is thrown about.
	PlantedBugs = Size{13, 13}

	// Processes killed with SIGKILL (G3): 131 in CI, 23,200 at night.
	KillIndex   = Size{25, 5_000}
	KillArchive = Size{35, 5_000}
	KillSweep   = Size{30, 5_000}
	KillLegacy  = Size{20, 5_000}
	KillCare    = Size{16, 3_000} // rebuild of the index, sweep and scrub of a whole node
	KillRepair  = Size{5, 200}

	// Operations after each of which nothing that is referenced is missing (G5).
	ModelIndex     = Size{200_000, 100_000_000}
	ModelIndexDisk = Size{2_000, 200_000}
	ModelSweep     = Size{200_000, 20_000_000} // by several at once, beside sweeps
	ModelRemove    = Size{12_000, 1_200_000}   // stage and remove at once

	// Faults of the medium (G7).
	RotStore    = Size{2_000, 200_000}
	RotNode     = Size{2_000, 200_000} // found by a scrub and healed from peers
	RotSalvage  = Size{100, 20_000}
	RotIndexLog = Size{9, 1_500}

	// Executions of each parser that the network or a disk reaches (G9).
	Fuzz = Size{200_000, 50_000_000}

	// Calls of a disk that fail, each once with each error (G10).
	FaultStore    = Size{600, 600}
	FaultFragment = Size{200, 200}
	FaultArchive  = Size{200, 200}
	FaultCustody  = Size{150, 150}
	FaultLegacy   = Size{300, 300}
	FaultSidecar  = Size{400, 400}
	FaultJournal  = Size{300, 300}
	FaultSweep    = Size{1_500, 1_500}
	FaultScrub    = Size{80, 80}
	FaultHeal     = Size{60, 60}
	FaultRebuild  = Size{800, 800}
	FullStore     = Size{4_000, 1_000_000} // operations on a disk that is full most of the time
	FullIndex     = Size{12, 200}          // levels of fullness of a real file system under the index
	FullIndexRace = Size{3, 100}           // disks filled while Badger tidies

	// Repair from bad inputs (G14), networks thrown about (G15), years of churn (G16).
	Repairs      = Size{10_000, 5_000_000}
	Thrash       = Size{2, 5_000} // colonies without an owner
	ThrashNodes  = Size{1, 200}   // of 24 whole nodes each
	Together     = Size{4, 600}   // pairs of holders that repair at once
	Flaps        = Size{1, 200}   // networks that flap for a month
	FlapWorlds   = Size{4, 200}   // the same, simulated
	ChurnYears   = Size{200, 20_000}
	ControlYears = Size{1_000, 50_000}

	// Challenges to holders that deleted a share, and forged answers (G17).
	Deleters  = Size{10_000, 10_000_000}
	Forgeries = Size{10_000, 10_000_000}

	// Steps of the ledger's model (G20).
	ModelBooks = Size{100_000, 100_000_000}

	// Two-way splits of seven nodes (G24).
	Splits = Size{8, 63}

	// Nodes that gather around one address.
	Gathering = Size{12, 30}

	// Exchanges of honest nodes with one that is flooded (G22).
	Flooded = Size{60, 2_000}

	// Nodes that converge in memory: identity, transport, DHT and contacts.
	Converging = Size{100, 500}

	// Combinations of fragments that salvage is given.
	SalvageSets = Size{32, 32}

	// Objects of the measurements with very many.
	ManyObjects = Size{5_000, 1_000_000}
)
