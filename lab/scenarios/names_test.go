package scenarios

import (
	"os"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// authserver is the folder of the server.
const authserver = "../../examples/authserver/"

// demoWorld is the default world of the server.
var demoWorld = func() []byte {
	data, err := os.ReadFile(authserver + "world.json")
	if err != nil {
		panic(err)
	}
	return data
}()

// The names and limits below are written out here, because a client knows no constants of the
// server.

const (
	pathAuthorize  = "/authorize"
	pathLogin      = "/login"
	pathConsent    = "/consent"
	pathStyle      = "/style.css"
	pathToken      = "/token"
	pathIntrospect = "/introspect"
	pathRevoke     = "/revoke"
	pathJWKS       = "/jwks"
)

// The grants, and the names of the audit log for other ways to a token.
const (
	grantCode     = "authorization_code"
	grantRefresh  = "refresh_token"
	grantClient   = "client_credentials"
	grantLogin    = "login"
	grantImplicit = "implicit"
)

const (
	secretBasic = "client_secret_basic"
	secretPost  = "client_secret_post"
	jwtBearer   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

const (
	responseCode     = "code"
	responseTicket   = "subject_token"
	responseIDTicket = "id_token subject_token"
)

const (
	accessDenied             tokenexchange.Code = "access_denied"
	unsupportedResponseType  tokenexchange.Code = "unsupported_response_type"
	loginRequired            tokenexchange.Code = "login_required"
	requestNotSupported      tokenexchange.Code = "request_not_supported"
	requestURINotSupported   tokenexchange.Code = "request_uri_not_supported"
	registrationNotSupported tokenexchange.Code = "registration_not_supported"
)

// The fields of the server's pages, and its cookies.
const (
	fieldTransaction = "transaction"
	fieldDecision    = "decision"
	decisionAllow    = "allow"
	cookieSession    = "authserver-session"
	cookieBrowser    = "authserver-browser"
)

// Limits, in bytes and in time.
const (
	longestAuthorization = 16 << 10
	longestForm          = 2 * longestAuthorization
	maxForm              = 256 << 10
	longestSecret        = 72
	codeLifetime         = time.Minute
	formLifetime         = 10 * time.Minute
)
