package world

import (
	"slices"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// The grants of this server. Token exchange is tokenexchange.GrantType.
const (
	GrantCode    = "authorization_code"
	GrantRefresh = "refresh_token"
	GrantClient  = "client_credentials"
)

// The ways a client can authenticate (RFC 7591 §2). A public client has none.
const (
	SecretBasic   = "client_secret_basic"
	SecretPost    = "client_secret_post"
	PrivateKeyJWT = "private_key_jwt"
)

var (
	AllGrants  = []string{tokenexchange.GrantType, GrantCode, GrantRefresh, GrantClient, grants.GrantJWTBearer}
	AllMethods = []string{SecretBasic, SecretPost, PrivateKeyJWT}
)

// ResponseCode is the response type of the authorization code grant.
const ResponseCode = "code"

var AllResponseTypes = []string{ResponseCode, responseTicket, ResponseIDTicket}

const (
	responseTicket   = "subject_token"
	ResponseIDTicket = "id_token subject_token"
)

// IsTicketResponse reports whether a response type asks for a subject token.
func IsTicketResponse(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), responseTicket)
}

// Token types that only this server's own doors bring, see also doors.go. No client can present one.
const (
	TypeSession   tokenexchange.TokenType = "urn:example:token-type:session"               // a user has logged in
	TypeClient    tokenexchange.TokenType = "urn:example:token-type:client"                // a client has authenticated
	TypeAssertion tokenexchange.TokenType = "urn:example:token-type:client-assertion"      // a client has signed something about a user
	TypeAuthJWT   tokenexchange.TokenType = "urn:example:token-type:client-authentication" // a client has signed something about itself
)

// Token types of these doors. A client can present a ticket at the exchange, and none of the others.
const (
	TypeTicket        tokenexchange.TokenType = "urn:example:token-type:subject-token"     // somebody may act for a user, once
	TypeRequested     tokenexchange.TokenType = "urn:example:token-type:requested-subject" // the user for whom a ticket is asked
	TypeUserAssertion tokenexchange.TokenType = "urn:example:token-type:user-assertion"    // an issuer or a client says who a user is (jwt-bearer)
	TypeActAs         tokenexchange.TokenType = "urn:example:token-type:act-as"            // a scope or the parameter claims names a user
	TypeOuter         tokenexchange.TokenType = "urn:example:token-type:outer"             // a token that another one is put into
)

// doorTypes are those that rules of the policy may name, as subject or actor token. What a ticket is asked with is no matter of
// the policy but of roles.
var doorTypes = []tokenexchange.TokenType{TypeSession, TypeClient, TypeTicket, TypeUserAssertion, TypeActAs, TypeOuter}
