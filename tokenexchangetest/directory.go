package tokenexchangetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Directory is a SubjectResolver over entries in memory. A user and a client of one name are two entries; which of them
// a token is about is said by Token.Kind and by nothing else (D19). The zero Directory knows nobody. It is safe for
// concurrent use.
type Directory struct {
	mu      sync.Mutex
	entries map[tokenexchange.Identity]entry
	names   map[name][]tokenexchange.Identity
	failure error
}

type entry struct {
	tokenexchange.Subject
	disabled bool
}

// name is how a token calls somebody.
type name struct{ issuer, subject string }

// NewDirectory returns a Directory with these entries, see Add.
func NewDirectory(entries ...tokenexchange.Subject) *Directory {
	d := &Directory{}
	d.Add(entries...)
	return d
}

// Add enters parties, active, in place of earlier entries with the same Identity. Tokens name an entry by the issuer and
// the id of its Identity; for other names there is Link. The Token of an entry is not looked at, since an Exchanger fills
// it in. An entry without issuer, kind or id panics.
func (d *Directory) Add(entries ...tokenexchange.Subject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries == nil {
		d.entries, d.names = map[tokenexchange.Identity]entry{}, map[name][]tokenexchange.Identity{}
	}
	for _, s := range entries {
		if !isSomebody(s.Identity) {
			panic(fmt.Sprintf("tokenexchangetest: a Directory entry without issuer, kind or id: %+v", s.Identity))
		}
		s = deepCopy(s)
		s.Token = tokenexchange.Token{}
		d.entries[s.Identity] = entry{Subject: s}
		d.link(name{s.Issuer, s.ID}, s.Identity)
	}
}

// Link lets the subject of another issuer's tokens, or a pairwise identifier, name an entry. An id that has not been
// added panics.
func (d *Directory) Link(issuer, subject string, id tokenexchange.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mustHave(id)
	d.link(name{issuer, subject}, id)
}

func (d *Directory) link(n name, id tokenexchange.Identity) {
	if !slices.Contains(d.names[n], id) {
		d.names[n] = append(d.names[n], id)
	}
}

// Disable lets the directory refuse an entry until it is added again. An id that has not been added panics.
func (d *Directory) Disable(id tokenexchange.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.mustHave(id)
	e.disabled = true
	d.entries[id] = e
}

func (d *Directory) mustHave(id tokenexchange.Identity) entry {
	e, ok := d.entries[id]
	if !ok {
		panic(fmt.Sprintf("tokenexchangetest: nobody in the Directory is %+v", id))
	}
	return e
}

// Fail makes every lookup fail with err, as if the directory were down; nil ends that. An err that carries a Code is a
// refusal rather than a failure (I12).
func (d *Directory) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// ResolveSubject looks up the one entry that the token's issuer and subject name; with a Kind, among those of that kind.
// Type and ClientID play no part, so the current actor of a carried chain is found like anybody else. An unknown name, a
// disabled entry and a name that fits several entries are InvalidRequest. A context that is over is its error, as with a
// directory that needs the network.
func (d *Directory) ResolveSubject(ctx context.Context, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	if err := ctx.Err(); err != nil {
		return tokenexchange.Subject{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure != nil {
		return tokenexchange.Subject{}, d.failure
	}
	var found []entry
	for _, id := range d.names[name{tok.Issuer, tok.Subject}] {
		if tok.Kind == "" || tok.Kind == id.Kind {
			found = append(found, d.entries[id])
		}
	}
	switch {
	case len(found) == 0:
		return tokenexchange.Subject{}, fmt.Errorf("%w: the directory knows nobody of that name", tokenexchange.InvalidRequest)
	case len(found) > 1:
		return tokenexchange.Subject{}, fmt.Errorf("%w: the directory knows several of that name", tokenexchange.InvalidRequest)
	case found[0].disabled:
		return tokenexchange.Subject{}, fmt.Errorf("%w: the entry is disabled", tokenexchange.InvalidRequest)
	}
	return deepCopy(found[0].Subject), nil
}
