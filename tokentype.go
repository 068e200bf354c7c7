package tokenexchange

// GrantType is the grant_type of a token exchange (RFC 8693 §2.1).
const GrantType = "urn:ietf:params:oauth:grant-type:token-exchange"

// The grants that refuse with invalid_grant (RFC 6749 §5.2, RFC 7523 §3.1), see Exchanger.Run.
const (
	grantRefresh   = "refresh_token"
	grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantSAML2     = "urn:ietf:params:oauth:grant-type:saml2-bearer"
)

// TokenType is a token type identifier (RFC 8693 §3). A host may add further URIs: to
// Exchanger.Verify for types that it accepts, to Rule.Types for types that it issues. The empty
// TokenType is not a type.
type TokenType string

// The types of RFC 8693 §3. TypeAccessToken and TypeRefreshToken are tokens of this server. An
// access token of a foreign issuer has the type TypeJWT.
const (
	TypeAccessToken  TokenType = "urn:ietf:params:oauth:token-type:access_token"
	TypeRefreshToken TokenType = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDToken      TokenType = "urn:ietf:params:oauth:token-type:id_token"
	TypeSAML1        TokenType = "urn:ietf:params:oauth:token-type:saml1"
	TypeSAML2        TokenType = "urn:ietf:params:oauth:token-type:saml2"
	TypeJWT          TokenType = "urn:ietf:params:oauth:token-type:jwt"
)

// isAccess reports whether a token of this type states what it may be used for. An own refresh
// token counts as the access token that it would become (D28), and a JWT of a foreign issuer as its
// access token.
func (t TokenType) isAccess() bool {
	return t == TypeAccessToken || t == TypeRefreshToken || t == TypeJWT
}

// isEvidence reports whether a token of this type only shows who a party is: a user id, a ticket,
// an assertion, a session.
func (t TokenType) isEvidence() bool { return !t.isAccess() && t != TypeIDToken }
