package tokenstore

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Tokens issues, verifies, refreshes and ends tokens that have a record in a Store.
type Tokens struct {
	Store  Store
	JWT    *tokenexchange.JWTIssuer
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)
	Opaque map[tokenexchange.TokenType]string
	MayAct func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error)
	Keep   []string
	Now    func() time.Time
}

func (t *Tokens) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	panic("stub")
}
func (t *Tokens) VerifyToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	panic("stub")
}
func (t *Tokens) VerifyRefreshToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	panic("stub")
}
func (t *Tokens) Live(ctx context.Context, tok tokenexchange.Token) error { panic("stub") }
func (t *Tokens) Record(ctx context.Context, tok tokenexchange.Token, parents ...Key) error {
	panic("stub")
}
func (t *Tokens) Mint(ctx context.Context, tok tokenexchange.Token, parents ...Key) (tokenexchange.IssuedToken, error) {
	panic("stub")
}
func (t *Tokens) Revoke(ctx context.Context, tok tokenexchange.Token) error { panic("stub") }
func (t *Tokens) List(ctx context.Context, owner tokenexchange.Identity) ([]tokenexchange.Token, error) {
	panic("stub")
}
func (t *Tokens) Once(ctx context.Context, now time.Time, kind, issuer, id string, until time.Time) error {
	panic("stub")
}
func (t *Tokens) Refresh(ctx context.Context, x *tokenexchange.Exchanger, client tokenexchange.Client, form url.Values) (tokenexchange.Response, error) {
	panic("stub")
}
func (t *Tokens) RefreshHandler(x *tokenexchange.Exchanger, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	panic("stub")
}
func (t *Tokens) IntrospectionHandler(issuer string, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	panic("stub")
}
func (t *Tokens) RevocationHandler(issuer string, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	panic("stub")
}

// Memory is a Store in memory.
type Memory struct{}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { panic("stub") }
