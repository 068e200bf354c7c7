package world

import (
	"slices"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// The grants of this server besides token exchange (tokenexchange.GrantType).
const (
	GrantCode    = "authorization_code"
	GrantRefresh = "refresh_token"
	GrantClient  = "client_credentials"
)

// The methods of client authentication (RFC 7591 §2). A public client has none.
const (
	SecretBasic   = "client_secret_basic"
	SecretPost    = "client_secret_post"
	PrivateKeyJWT = "private_key_jwt"
)

var (
	AllGrants = []string{tokenexchange.GrantType, GrantCode, GrantRefresh, GrantClient,
		grants.GrantJWTBearer}
	AllMethods = []string{SecretBasic, SecretPost, PrivateKeyJWT}
)

// ResponseCode is the response type of the authorization code grant.
const ResponseCode = "code"

var AllResponseTypes = []string{ResponseCode, responseTicket, ResponseIDTicket}

const (
	responseTicket   = "subject_token"
	ResponseIDTicket = "id_token subject_token"
)

// IsTicketResponse reports whether a response type asks for a subject token, here called a ticket.
func IsTicketResponse(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), responseTicket)
}

// Token types that a client never presents: the server makes them itself, or reads them as
// something else.
const (
	// a user has logged in
	TypeSession tokenexchange.TokenType = "urn:example:token-type:session"
	// a client has authenticated
	TypeClient tokenexchange.TokenType = "urn:example:token-type:client"
	// a client's statement about a user
	TypeAssertion tokenexchange.TokenType = "urn:example:token-type:client-assertion"
	// a client's statement about itself
	TypeAuthJWT tokenexchange.TokenType = "urn:example:token-type:client-authentication"
)

// Token types of the further grants. A client can present a ticket at the exchange, and none of the
// others.
const (
	// one party may act for a user, once
	TypeTicket tokenexchange.TokenType = "urn:example:token-type:subject-token"
	// the user that a requested ticket is about
	TypeRequested tokenexchange.TokenType = "urn:example:token-type:requested-subject"
	// a statement about a user, by an issuer or a client (jwt-bearer)
	TypeUserAssertion tokenexchange.TokenType = "urn:example:token-type:user-assertion"
	// a user named by a scope or by the parameter claims
	TypeActAs tokenexchange.TokenType = "urn:example:token-type:act-as"
	// a token that another token is embedded in
	TypeOuter tokenexchange.TokenType = "urn:example:token-type:outer"
)

// ownTypes are the types above that rules of the policy may name, as subject or actor token. Who
// may have a ticket depends on roles and not on the policy.
var ownTypes = []tokenexchange.TokenType{TypeSession, TypeClient, TypeTicket, TypeUserAssertion,
	TypeActAs, TypeOuter}
