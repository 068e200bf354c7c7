package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("C06", scenarioC06) }

// scenarioC06: the counterparts of authentication actions, claims providers and token procedures.
// docs/building-blocks.md has an example of each.
func scenarioC06(t *testing.T) {
	t.Run("authentication action: resolver and authorizer", c06Action)
	t.Run("claims provider: the hook of the issuer", c06Claims)
	t.Run("token procedure: a TokenIssuer", c06Procedure)
	t.Run("token procedure at the login", c06Login)
}

// c06Action: the host decides who may take part, as the user is now, and nothing is issued before
// that.
func c06Action(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
	read := []string{"scope", "read"}
	assert.Equal(t, "alice", sc.active(t, portal,
		sc.exchange(t, portal, about("alice", urnUserID), ines, read).opaque(t).token())["sub"])
	sc.exchange(t, portal, about("alice", urnUserID),
		acting(sc.logIn(t, "bob", "portal").AccessToken, urnAccess), read).refused(t,
		tokenexchange.InvalidRequest, "D11")
	for _, id := range []string{"lola", "dora"} {
		sc.exchange(t, portal, about(id, urnUserID), ines, read).refused(t,
			tokenexchange.InvalidRequest, "D07")
	}
	sc.changeUser("ines", func(u *world.User) { u.Status = "locked" })
	sc.exchange(t, portal, about("alice", urnUserID), ines, read).refused(t,
		tokenexchange.InvalidRequest, "D07")
}

// c06Claims: a claim of the host is in the token, and no hook can change who the token is about.
func c06Claims(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	usual := sc.server.Signer.Claims
	fails := false
	sc.server.Signer.Claims = func(ctx context.Context, d tokenexchange.Decision,
		claims map[string]any) error {
		if fails {
			return fmt.Errorf("%w: no claims for %s", tokenexchange.InvalidRequest, d.Subject.ID)
		}
		claims["department"], claims["sub"], claims["scope"] = "sales", "adam", "users:read"
		claims["act"] = map[string]any{"sub": "adam"}
		return usual(ctx, d, claims)
	}
	act := func() reply {
		return sc.exchange(t, portal, about("alice", urnUserID),
			acting(sc.logIn(t, "ines", "robot").AccessToken, urnAccess),
			[]string{"scope", "read", "requested_token_type", urnJWT})
	}
	sc.exchange(t, portal, about("alice", urnUserID),
		acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess),
		[]string{"scope", "read"}).opaque(t)
	a := sc.exchange(t, portal, about("alice", urnUserID),
		acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess),
		[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
	c := sc.claims(t, a.token())
	assert.Equal(t, []any{"alice", "ines", "read", "sales", "acme"},
		[]any{c["sub"], inside(c, "act", "sub"), c["scope"], c["department"], c["tenant"]})
	act().refused(t, tokenexchange.InvalidRequest) // and no hook changes who may act
	ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
	fails = true
	sc.exchange(t, portal, about("alice", urnUserID), ines,
		[]string{"scope", "read", "requested_token_type", urnJWT}).refused(t,
		tokenexchange.InvalidRequest, "no claims for alice")
}

// shorter is a token procedure. It has the last word on a token, and can only make it less.
type shorter struct {
	next tokenexchange.TokenIssuer
	rule func(*tokenexchange.Decision) error
}

func (p shorter) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if err := p.rule(&d); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	return p.next.IssueToken(ctx, d)
}

func c06Procedure(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
	act := func() reply {
		return sc.exchange(t, portal, about("alice", urnUserID), ines,
			[]string{"scope", "read write"})
	}
	usual := sc.server.Exchanger.TokenIssuer
	procedure := func(rule func(*tokenexchange.Decision) error) {
		sc.server.Exchanger.TokenIssuer = shorter{usual, rule}
	}
	procedure(func(d *tokenexchange.Decision) error {
		if d.Actor != nil { // half the lifetime for an actor
			d.Expires = d.Issued.Add(d.Expires.Sub(d.Issued) / 2)
		}
		return nil
	})
	a := act().opaque(t)
	assert.EqualValues(t, "900", a.body["expires_in"])
	assert.Equal(t, "ines", inside(sc.active(t, portal, a.token()), "act", "sub"))

	procedure(func(*tokenexchange.Decision) error {
		return fmt.Errorf("%w: no tokens at night", tokenexchange.InvalidRequest)
	})
	act().refused(t, tokenexchange.InvalidRequest, "no tokens at night")
	procedure(func(d *tokenexchange.Decision) error {
		d.Expires = d.Expires.AddDate(1, 0, 0)
		return nil
	})
	beyond := act()
	assert.Equal(t, http.StatusInternalServerError, beyond.status,
		"an issuer that goes beyond the decision")
	assert.Equal(t, "failed", beyond.event(t)["outcome"])
	assert.Len(t, sc.delegations(t, sc.accountOf(t, usual)), 1,
		"and no record of such a token stays")
}

// accountOf is alice's own token, from the issuer as it was.
func (sc *scene) accountOf(t *testing.T, usual tokenexchange.TokenIssuer) string {
	t.Helper()
	sc.server.Exchanger.TokenIssuer = usual
	return sc.logIn(t, "alice", "account").AccessToken
}

// c06Login: a procedure of this server itself, which adds the nonce of a login to the ID token.
func c06Login(t *testing.T) {
	sc := play(t)
	k := newPKCE()
	console := sc.basic("console")
	a := sc.redeem(t, console, sc.browser(t).code(t, "alice", k, "nonce", "a nonce"), k)
	require.Equal(t, http.StatusOK, a.status, a.raw)
	_, c := sc.verified(t, a.text("id_token"))
	assert.Equal(t, "a nonce", c["nonce"])
	assert.Equal(t, "alice", c["sub"])
	acted := sc.exchange(t, sc.basic("portal"),
		about(sc.logIn(t, "alice", "portal").IDToken, urnID),
		[]string{"requested_token_type", urnID}).idToken(t)
	assert.NotContains(t, sc.idClaims(t, acted.token(), "portal"), "nonce", "an exchange has none")
}
