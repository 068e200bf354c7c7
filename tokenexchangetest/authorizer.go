package tokenexchangetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Pair allows Actor to act for Subject. Both are compared field by field, without wildcards. A pair
// with an identity that lacks issuer, kind or id allows nothing.
type Pair struct{ Actor, Subject tokenexchange.Identity }

// Authorizer is an ActorAuthorizer that records its calls. The zero Authorizer refuses every actor.
// It is safe for concurrent use once its fields are set.
type Authorizer struct {
	// Pairs are the allowed pairs; nil allows nothing. The actor is Facts.Actor. If that is nil, it
	// is the client: an identity of this server, of KindClient and without a tenant.
	Pairs []Pair

	// Func, if not nil, is called instead of looking at Pairs. It can be the method of another
	// ActorAuthorizer whose calls the test wants to see.
	Func func(context.Context, tokenexchange.Facts) error

	mu      sync.Mutex
	asked   []tokenexchange.Facts
	failure error
}

// Fail makes every later call return err, as if the authorizer were down; nil ends that. An err
// with a Code below 500 is a refusal and not a failure (I12).
func (a *Authorizer) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = err
}

// Asked returns copies of the Facts of all calls of AuthorizeActor, in order; nil if there were
// none.
func (a *Authorizer) Asked() []tokenexchange.Facts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return deepCopy(a.asked)
}

// AuthorizeActor answers by the error of Fail, by Func or by Pairs, in this order. A pair that is
// not in Pairs is InvalidRequest. If ctx has ended, AuthorizeActor returns its error, as an
// authorizer that uses the network would.
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
	if isComplete(p.Actor) && isComplete(p.Subject) && slices.Contains(a.Pairs, p) {
		return nil
	}
	return fmt.Errorf("%w: no Pair allows this actor to act for this subject",
		tokenexchange.InvalidRequest)
}
