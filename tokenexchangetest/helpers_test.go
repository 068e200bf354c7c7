package tokenexchangetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const (
	as      = "https://as.example"
	orders  = "https://orders.example"
	billing = "https://billing.example"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	alice     = tx.Identity{Issuer: as, Kind: tx.KindUser, ID: "alice"}
	ordersAPI = tx.Identity{Issuer: as, Kind: tx.KindClient, ID: "orders-api"}
	billerAPI = tx.Identity{Issuer: as, Kind: tx.KindClient, ID: "billing-api"}

	errDown = errors.New("the database is down")
	errNo   = error(tx.InvalidRequest)
)

// decided returns a complete decision, as a policy would make it.
func decided() tx.Decision {
	return tx.Decision{
		Rule: "call billing", Mode: tx.Delegate, Issuer: as, Client: ordersAPI.ID, Subject: alice,
		Actor:    &tx.Actor{Issuer: as, Subject: ordersAPI.ID, ClientID: ordersAPI.ID},
		Audience: []string{billing, "https://archive.example"}, Scope: tx.Scope{"read", "write"},
		Type:   tx.TypeAccessToken,
		Issued: noon, Expires: noon.Add(10 * time.Minute),
		Facts: tx.Facts{Grant: tx.GrantType, Issuer: as, Client: tx.Client{ID: ordersAPI.ID},
			Now: noon},
	}
}

// Functions that implement the four interfaces.
type (
	resolverFunc   func(context.Context, tx.Token) (tx.Subject, error)
	authorizerFunc func(context.Context, tx.Facts) error
	issuerFunc     func(context.Context, tx.Decision) (tx.IssuedToken, error)
	sinkFunc       func(context.Context, tx.Event) error
)

func (f resolverFunc) ResolveSubject(ctx context.Context, t tx.Token) (tx.Subject, error) {
	return f(ctx, t)
}
func (f authorizerFunc) AuthorizeActor(ctx context.Context, facts tx.Facts) error {
	return f(ctx, facts)
}
func (f issuerFunc) IssueToken(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
	return f(ctx, d)
}
func (f sinkFunc) RecordExchange(ctx context.Context, ev tx.Event) error { return f(ctx, ev) }

// finds expects that each finding contains one of the texts in want, and that each text occurs. A
// check must not report faults that an implementation does not have.
func finds(t *testing.T, err error, want ...string) {
	t.Helper()
	require.Error(t, err)
	findings, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "not a list of findings: %v", err)
	for _, finding := range findings.Unwrap() {
		expected := slices.ContainsFunc(want, func(w string) bool {
			return strings.Contains(finding.Error(), w)
		})
		assert.True(t, expected, "unexpected finding: %v", finding)
	}
	for _, w := range want {
		assert.ErrorContains(t, err, w)
	}
}

// soon returns a context with a short deadline, for implementations that block.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
