package tokenexchangetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Directory is a SubjectResolver with its entries in memory. A user and a client of the same name
// are two entries; only Token.Kind tells which of them a token is about (D19). The zero Directory
// is empty and refuses every token. It is safe for concurrent use.
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

// name is how a token names a party.
type name struct{ issuer, subject string }

// NewDirectory returns a Directory with the entries. It panics if Add does.
func NewDirectory(entries ...tokenexchange.Subject) *Directory {
	d := &Directory{}
	d.Add(entries...)
	return d
}

// Add adds active parties. An entry with the same Identity is replaced. A token names an entry by
// the issuer and the id of its Identity, or by a name added with Link. Add ignores the field Token,
// which an Exchanger sets. It panics if an entry has no issuer, kind or id.
func (d *Directory) Add(entries ...tokenexchange.Subject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries == nil {
		d.entries, d.names = map[tokenexchange.Identity]entry{}, map[name][]tokenexchange.Identity{}
	}
	for _, s := range entries {
		if !isComplete(s.Identity) {
			panic(fmt.Sprintf("tokenexchangetest: Directory.Add needs issuer, kind and id, got %+v",
				s.Identity))
		}
		s = deepCopy(s)
		s.Token = tokenexchange.Token{}
		d.entries[s.Identity] = entry{Subject: s}
		d.link(name{s.Issuer, s.ID}, s.Identity)
	}
}

// Link makes the issuer and subject of a token name an entry. It is for tokens of other issuers and
// for pairwise identifiers. It panics if id has not been added.
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

// Disable makes the directory refuse an entry until the entry is added again. It panics if id has
// not been added.
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
		panic(fmt.Sprintf("tokenexchangetest: the Directory has no entry %+v", id))
	}
	return e
}

// Fail makes every later lookup return err, as if the directory were down; nil ends that. An err
// with a Code below 500 is a refusal and not a failure (I12).
func (d *Directory) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// ResolveSubject returns the entry that the issuer and subject of the token name. If the token has
// a Kind, only entries of that kind count. Type and ClientID are ignored, so the current actor of a
// chain is found like any other party. An unknown name, a disabled entry and a name of several
// entries are InvalidRequest. If ctx has ended, ResolveSubject returns its error, as a directory
// that uses the network would.
func (d *Directory) ResolveSubject(ctx context.Context,
	tok tokenexchange.Token) (tokenexchange.Subject, error) {
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
	refuse := func(format string) (tokenexchange.Subject, error) {
		return tokenexchange.Subject{}, fmt.Errorf("%w: "+format, tokenexchange.InvalidRequest,
			tok.Subject)
	}
	switch {
	case len(found) == 0:
		return refuse("the directory has no entry for %q")
	case len(found) > 1:
		return refuse("the directory has several entries for %q")
	case found[0].disabled:
		return refuse("the entry for %q is disabled")
	}
	return deepCopy(found[0].Subject), nil
}
