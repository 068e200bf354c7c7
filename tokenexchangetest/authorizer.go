package tokenexchangetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Pair is one party that may act for another. Both are compared as they are, without wildcards; one that lacks issuer,
// kind or id fits nobody.
type Pair struct{ Actor, Subject tokenexchange.Identity }

// Authorizer is an ActorAuthorizer that remembers what it was asked. The zero Authorizer says no. It is safe for
// concurrent use once its fields are set.
type Authorizer struct {
	// Pairs are who may act for whom. The acting party is Facts.Actor, or, where that is nil, the client: of our own
	// issuer, of KindClient and of no tenant. Nil is nobody.
	Pairs []Pair

	// Func, if not nil, answers in place of Pairs. The method of another ActorAuthorizer fits, which is then watched.
	Func func(context.Context, tokenexchange.Facts) error

	mu      sync.Mutex
	asked   []tokenexchange.Facts
	failure error
}

// Fail makes every answer err, as if the authorizer were down; nil ends that. An err that carries a Code is a refusal
// rather than a failure (I12).
func (a *Authorizer) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = err
}

// Asked returns what AuthorizeActor was called with, in order; len says how often that was. The Facts are copies.
func (a *Authorizer) Asked() []tokenexchange.Facts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return deepCopy(a.asked)
}

// AuthorizeActor says what Fail, Func or Pairs say, in that order of precedence. The no of Pairs is InvalidRequest. A
// context that is over is its error, as with an authorizer that needs the network.
func (a *Authorizer) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	a.mu.Lock()
	a.asked = append(a.asked, deepCopy(f))
	failure := a.failure
	a.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failure != nil:
		return failure
	case a.Func != nil:
		return a.Func(ctx, f)
	}
	p := Pair{Actor: f.ActingParty(), Subject: f.Subject.Identity}
	if isSomebody(p.Actor) && isSomebody(p.Subject) && slices.Contains(a.Pairs, p) {
		return nil
	}
	return fmt.Errorf("%w: no pair says that this party may act for that one", tokenexchange.InvalidRequest)
}
