package host_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/institution"
)

// zone is the DNS of a village.
type zone struct {
	mu      sync.Mutex // guards records
	records map[string][]string
}

// LookupTXT implements institution.Resolver.
func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.records[name]) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true} // as net.Resolver has it
	}
	return z.records[name], nil
}

// add starts a node for which a domain vouches.
func (z *zone) add(v *village, domain string) *member {
	v.t.Helper()
	dir := v.t.TempDir()
	n, err := host.Open(v.t.Context(), v.config(), dir, v.log())
	if err != nil {
		v.t.Fatal(err)
	}
	who, err := n.Identity(v.t.Context())
	if err := errors.Join(err, n.Close()); err != nil {
		v.t.Fatal(err)
	}
	z.mu.Lock()
	name := institution.RecordName(domain) + "."
	z.records[name] = append(z.records[name], institution.Record(who.Node, 1<<30))
	z.mu.Unlock()
	return v.addAt(dir, claiming(domain))
}

func claiming(domain string) func(*config.Config) {
	return func(c *config.Config) { c.Institutional = config.Institutional{Domain: domain, Pledge: config.GiB} }
}

// institutions is how many of the peers that a node knows it takes for institutions.
func (m *member) institutions() (n int) {
	m.v.t.Helper()
	peers, err := m.Peers(m.v.t.Context())
	if err != nil {
		m.v.t.Fatal(err)
	}
	for _, p := range peers {
		if p.Institutional {
			n++
		}
	}
	return n
}

func TestAnInstitutionIsExemptAndALiarIsNot(t *testing.T) {
	t.Parallel()
	z := &zone{records: map[string][]string{}}
	v := &village{t: t, options: []host.Option{host.WithResolver(z)}}
	poor := func(c *config.Config) { c.Replication.DeficitAllowance = 1000 } // less than any fragment
	for range 7 {
		v.add(poor)
	}
	library, liar := z.add(v, "library.example"), v.add(claiming("library.example"))
	v.meet(library, 8)
	v.meet(liar, 8)
	for _, m := range v.nodes[:7] {
		v.eventually("the record to be looked up", func() bool { return m.institutions() == 1 })
	}
	made := create(t, library, folder(t, small))
	if p := library.publish(made.ID); p.Placed != 7 {
		t.Errorf("of an institution %d copies were taken", p.Placed)
	}
	made = create(t, liar, folder(t, small))
	p, why := liar.fallsShort(made.ID)
	if p.Placed > 1 || !strings.Contains(why, "allowance") { // the library is generous
		t.Errorf("of who only claims to be one %d copies were taken: %s", p.Placed, why)
	}
}

func TestInstitutionsAreAtMostTwoInSevenOfTheHolders(t *testing.T) {
	t.Parallel()
	z := &zone{records: map[string][]string{}}
	v := &village{t: t, options: []host.Option{host.WithResolver(z)}}
	known := map[*member]bool{}
	for range 6 {
		known[z.add(v, "archive.example")] = true
	}
	for range 6 {
		v.add()
	}
	owner := v.add()
	v.meet(owner, 12)
	v.eventually("the institutions to be verified", func() bool { return owner.institutions() == 6 })
	made := create(t, owner, folder(t, medium))
	p := owner.publish(made.ID)
	holders := 0
	for _, m := range v.holdersOf(made.ID) {
		if known[m] {
			holders++
		}
	}
	if most := (p.Peers*2 + 6) / 7; holders == 0 || holders > most {
		t.Errorf("%d of %d holders are institutions, at most %d may be", holders, p.Peers, most)
	}
	status, err := owner.Status(t.Context(), made.ID)
	if err != nil || holders > 1 && status.Survives.Operators >= status.Survives.Peers {
		t.Errorf("with %d holders run by one it survives %+v, %v", holders, status.Survives, err)
	}
}

// Two nodes of different owners that one institution runs are one operator to whoever has verified that.
func TestAVerifiedOperatorCountsOnce(t *testing.T) {
	t.Parallel()
	z := &zone{records: map[string][]string{}}
	v := &village{t: t, options: []host.Option{host.WithResolver(z)}}
	for range 2 {
		z.add(v, "archive.example")
	}
	for range 5 {
		v.add()
	}
	owner := v.add()
	v.meet(owner, 7)
	v.eventually("the institution to be verified", func() bool { return owner.institutions() == 2 })
	made := create(t, owner, folder(t, small)) // seven copies
	owner.publish(made.ID)
	status, err := owner.Status(t.Context(), made.ID)
	if err != nil || status.Survives.Peers != 6 || status.Survives.Operators != 5 {
		t.Errorf("survives %+v, %v", status.Survives, err)
	}
}

func TestTheOperatorIsToldWhatTheDomainSays(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	z := &zone{records: map[string][]string{}}
	v := &village{t: t}
	cfg := v.config(claiming("library.example"), func(c *config.Config) { c.Institutional.Pledge = 1 << 60 })
	n, err := host.Open(t.Context(), cfg, t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)), host.WithResolver(z))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	who, err := n.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.CheckOwnClaim(t.Context())
	for _, want := range []string{"_tesseras.library.example", institution.Record(who.Node, 1<<60), "cannot hold what this node pledges"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	log.Reset()
	z.records["_tesseras.library.example."] = []string{institution.Record(who.Node, 1<<60)}
	n.CheckOwnClaim(t.Context())
	if !strings.Contains(log.String(), "the domain vouches for this node") {
		t.Errorf("the log says:\n%s", log.String())
	}
}
