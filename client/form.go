package client

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
)

// parameters are the form parameters that only Config itself sets.
var parameters = []string{
	"client_id", "client_secret", "grant_type", "subject_token", "subject_token_type",
	"actor_token", "actor_token_type", "requested_token_type", "audience", "resource", "scope",
}

// form returns the whole request except for the client's authentication. It finds contradictions in
// the Config before it asks a source for a token.
func (c *Config) form() (url.Values, error) {
	r := c.Request
	switch {
	case r.SubjectToken != "" || r.ActorToken != "":
		return nil, errors.New("Config.Request must not hold a token; set Subject and Actor")
	case c.Subject == nil:
		return nil, errors.New("Config.Subject is not set")
	case c.Actor == nil && r.ActorTokenType != "":
		return nil, errors.New("Config.Request.ActorTokenType is set, but Actor is not")
	case r.Scope != nil && len(c.Server.Scopes) > 0:
		return nil, errors.New("Config.Server.Scopes and Request.Scope must not both be set")
	case r.Scope == nil:
		r.Scope = c.Server.Scopes
	}
	for _, name := range parameters {
		if c.Server.EndpointParams.Has(name) {
			return nil, fmt.Errorf("Config.Server.EndpointParams must not set %s", name)
		}
	}
	var err error
	r.SubjectTokenType = cmp.Or(r.SubjectTokenType, tokenexchange.TypeAccessToken)
	if r.SubjectToken, err = tokenOf(c.Subject, r.SubjectTokenType); err != nil {
		return nil, fmt.Errorf("subject token: %w", err)
	}
	if c.Actor != nil {
		r.ActorTokenType = cmp.Or(r.ActorTokenType, tokenexchange.TypeAccessToken)
		if r.ActorToken, err = tokenOf(c.Actor, r.ActorTokenType); err != nil {
			return nil, fmt.Errorf("actor token: %w", err)
		}
	}
	form := r.Values()
	maps.Copy(form, c.Server.EndpointParams)
	return form, nil
}

// tokenOf asks a source for a token of the given type.
func tokenOf(source oauth2.TokenSource, typ tokenexchange.TokenType) (string, error) {
	tok, err := source.Token()
	if err != nil {
		return "", err
	}
	value := ""
	switch {
	case tok == nil:
	case typ == tokenexchange.TypeRefreshToken:
		value = tok.RefreshToken
	case typ == tokenexchange.TypeIDToken:
		value = cmp.Or(extra(tok, "id_token"), tok.AccessToken)
	default:
		value = tok.AccessToken
	}
	if value == "" {
		return "", fmt.Errorf("the source has no token for the type %q", typ)
	}
	return value, nil
}

// extra returns a member of the token response if it is a string, and "" otherwise.
func extra(tok *oauth2.Token, name string) string {
	s, _ := tok.Extra(name).(string)
	return s
}
