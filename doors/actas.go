package doors

import (
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// ActAs lets a grant that a server has anyway, client_credentials or the code grant, name somebody to act for: by a prefix
// scope, act_as:user123, or by the claims request parameter (OpenID Connect Core §5.5). Nothing of that ends up in a token:
// it says who the subject is, and whoever would have been the subject becomes the actor. The zero ActAs refuses.
type ActAs struct {
	// Named is the type of the name in the decision. Nobody presents one. A rule for it has mode delegate, Named in
	// SubjectTypes, OtherTokens, and in ActorTypes what the grant brings.
	Named tokenexchange.TokenType

	// Prefix is what the scope begins with, "act_as:" for one. Empty: no scope names anybody.
	Prefix string
}

// Open is what Exchanger.Run expects of open, for a grant that brings self, the token of the client or user whom it has
// authenticated, and asks for req: Parse and then Tokens. Claims is the parameter of that name; empty: it was not sent.
// Where the prefix scope was the only one, the request asks for none, and none is granted.
func (a ActAs) Open(req tokenexchange.Request, claims string, self tokenexchange.Token) (
	tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
	user, rest, err := a.Parse(req.Scope, claims)
	if err != nil {
		return req, self, nil, err
	}
	req.Scope = rest
	subject, actor := a.Tokens(user, self)
	return req, subject, actor, nil
}

// Tokens returns who is the subject and who acts where Parse has named user: the one who is named, and self. Where nobody is
// named, self is the subject and nobody acts, as without ActAs. A grant in two steps, the code grant, calls Parse in the
// first and Tokens in the second.
func (a ActAs) Tokens(user string, self tokenexchange.Token) (subject tokenexchange.Token, actor *tokenexchange.Token) {
	if user == "" {
		return self, nil
	}
	return tokenexchange.Token{Type: a.Named, Kind: tokenexchange.KindUser, Name: true,
		Issuer: self.Issuer, Subject: user, Expires: self.Expires}, &self
}

// Parse returns who is named, and the scope without the name. Nobody is named: user is empty and rest is scope. An empty
// name, two of them, also if they are equal, and a scope and claims that disagree are refused, with InvalidScope or
// InvalidRequest; the error quotes nothing. It is pure, for a consent page that says who is about to be acted for.
func (a ActAs) Parse(scope tokenexchange.Scope, claims string) (user string, rest tokenexchange.Scope, err error) {
	if !isOfItsOwn(a.Named) {
		return "", nil, refuse(tokenexchange.ServerError, "I01: ActAs without a type of its own")
	}
	byScope, rest, err := a.parseScope(scope)
	if err != nil {
		return "", nil, err
	}
	byClaims, err := parseClaims(claims)
	switch {
	case err != nil:
		return "", nil, err
	case byScope != "" && byClaims != "" && byScope != byClaims:
		return "", nil, refuse(tokenexchange.InvalidRequest, "D23: scope and claims name two subjects")
	case byScope == "":
		byScope = byClaims
	}
	return byScope, rest, nil
}

// parseScope takes the prefix scope out of the list.
func (a ActAs) parseScope(scope tokenexchange.Scope) (user string, rest tokenexchange.Scope, err error) {
	if scope == nil || a.Prefix == "" {
		return "", scope, nil
	}
	rest = tokenexchange.Scope{}
	for _, token := range scope {
		name, isName := strings.CutPrefix(token, a.Prefix)
		switch {
		case !isName:
			rest = append(rest, token)
		case name == "" || user != "":
			return "", nil, refuse(tokenexchange.InvalidScope, "D23: a prefix scope that names nobody, or several of them")
		default:
			user = name
		}
	}
	return user, rest, nil
}

// actAsClaim is the name of the claim that is asked for.
const actAsClaim = "act_as"

// parseClaims reads whom the claims request parameter names, among the claims for the ID token or for UserInfo, or both:
//
//	{"id_token": {"act_as": {"value": "user123"}}}
func parseClaims(claims string) (user string, err error) {
	if claims == "" {
		return "", nil
	}
	malformed := refuse(tokenexchange.InvalidRequest, "D23: the parameter claims is malformed, or act_as in it is")
	object, err := strictjson.Object([]byte(claims))
	if err != nil {
		return "", malformed
	}
	for place, list := range strictjson.Members(object) {
		if place != "id_token" && place != "userinfo" {
			continue // what is not understood is ignored (§5.5)
		}
		if !strictjson.IsObject(list) {
			return "", malformed
		}
		for claim, request := range strictjson.Members(list) {
			if claim != actAsClaim {
				continue
			}
			name, ok := claimValue(request)
			if !ok || user != "" && user != name {
				return "", malformed
			}
			user = name
		}
	}
	return user, nil
}

// claimValue returns the one value that is asked for. A list of values names several, null names nobody.
func claimValue(request []byte) (value string, ok bool) {
	for name, raw := range strictjson.Members(request) {
		switch name {
		case "value":
			value, ok = strictjson.String(raw)
		case "values":
			return "", false
		}
	}
	return value, ok && value != ""
}
