package grants

import (
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// ActAs lets a grant that a server already has, client_credentials or the code grant, name a user
// to act for: by a scope with a prefix, such as act_as:user123, or by the claims request parameter
// (OpenID Connect Core §5.5). The named user becomes the subject, and the party that would have
// been the subject becomes the actor. The name itself is not in any token. The zero ActAs refuses.
type ActAs struct {
	// Named is the type of the user's name in the decision. Clients cannot present a token of this
	// type. A rule for it has mode delegate, Named in SubjectTypes, OtherTokens, and the type of
	// the actor's token in ActorTypes.
	Named tokenexchange.TokenType

	// Prefix is the prefix of a scope that names a user, such as "act_as:". If it is empty, no
	// scope names a user.
	Prefix string
}

// Open calls Parse and Tokens, and returns what Exchanger.Run expects from its open function. self
// is the token of the client or user that the grant has authenticated, and req its request. claims
// is the claims parameter, or empty if it was not sent. If the prefix scope was the only scope, no
// scope is granted.
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

// Tokens returns a token about the user as the subject and self as the actor. If user is empty, it
// returns self as the subject and no actor. The code grant calls Parse in its first step and Tokens
// in its second.
func (a ActAs) Tokens(user string, self tokenexchange.Token) (
	subject tokenexchange.Token, actor *tokenexchange.Token) {
	if user == "" {
		return self, nil
	}
	return tokenexchange.Token{
		Type: a.Named, Kind: tokenexchange.KindUser, Name: true,
		Issuer: self.Issuer, Subject: user, Expires: self.Expires,
	}, &self
}

// Parse returns the user that the scope or the claims parameter names, and the scope without the
// name. If neither names a user, user is empty. Parse refuses an empty name, more than one name in
// the scope, and names that differ, with InvalidScope or InvalidRequest; only the Detail of the
// error, which is for operators, has the names. Parse has no side effects, so a consent page can
// call it to show the user.
func (a ActAs) Parse(scope tokenexchange.Scope, claims string) (
	user string, rest tokenexchange.Scope, err error) {
	if !isOwnType(a.Named) {
		return "", nil, refusal.New(tokenexchange.ServerError, "act_as_incomplete",
			"ActAs.Named is %q, not a token type of its own (I01)", a.Named)
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
		return "", nil, refusal.New(tokenexchange.InvalidRequest, "act_as_two_users",
			"the scope names the user %q, the parameter claims names %q (D23)", byScope, byClaims)
	case byScope == "":
		byScope = byClaims
	}
	return byScope, rest, nil
}

// parseScope splits the scope into the user that it names and the rest.
func (a ActAs) parseScope(scope tokenexchange.Scope) (
	user string, rest tokenexchange.Scope, err error) {
	if scope == nil || a.Prefix == "" {
		return "", scope, nil
	}
	rest = tokenexchange.Scope{}
	for _, token := range scope {
		name, found := strings.CutPrefix(token, a.Prefix)
		switch {
		case !found:
			rest = append(rest, token)
		case name == "":
			return "", nil, refusal.New(tokenexchange.InvalidScope, "act_as_without_user",
				"the scope %q names no user (D23)", token)
		case user != "":
			return "", nil, refusal.New(tokenexchange.InvalidScope, "act_as_two_users",
				"the scope names the users %q and %q (D23)", user, name)
		default:
			user = name
		}
	}
	return user, rest, nil
}

// parseClaims returns the user that the claims request parameter names, among the claims for the ID
// token, for UserInfo or for both:
//
//	{"id_token": {"act_as": {"value": "user123"}}}
func parseClaims(claims string) (user string, err error) {
	if claims == "" {
		return "", nil
	}
	malformed := refusal.New(tokenexchange.InvalidRequest, "act_as_claims_malformed",
		"the parameter claims is malformed, or its act_as is not one name (D23)")
	object, err := strictjson.Object([]byte(claims))
	if err != nil {
		return "", malformed
	}
	for place, list := range strictjson.Members(object) {
		if place != "id_token" && place != "userinfo" {
			continue // unknown members are ignored (OpenID Connect Core §5.5)
		}
		if !strictjson.IsObject(list) {
			return "", malformed
		}
		for claim, request := range strictjson.Members(list) {
			if claim != "act_as" {
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

// claimValue returns the requested value of a claim. It must be one non-empty string; a list in the
// member values is refused.
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
