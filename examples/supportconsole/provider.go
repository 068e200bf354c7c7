package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/client"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

// typeUserID is the token type under which the authorization server accepts a bare user id as
// subject token.
const typeUserID tokenexchange.TokenType = "urn:zitadel:params:oauth:token-type:user_id"

// provider has the metadata of the authorization server (OpenID Connect Discovery, RFC 8414).
type provider struct {
	settings
	login   oauth2.Config
	ids     *tokenexchange.Verifier
	records resourceserver.Introspection
	http    *http.Client

	metadata
}

type metadata struct {
	Issuer             string `json:"issuer"`
	Authorization      string `json:"authorization_endpoint"`
	Token              string `json:"token_endpoint"`
	Introspection      string `json:"introspection_endpoint"`
	Revocation         string `json:"revocation_endpoint"`
	EndSession         string `json:"end_session_endpoint"`
	Keys               string `json:"jwks_uri"`
	NamesItselfInLogin bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// discover reads the metadata. It fails if the authorization server lacks a feature that this
// console needs.
func discover(ctx context.Context, s settings) (*provider, error) {
	p := &provider{settings: s, http: &http.Client{Timeout: 5 * time.Second, Transport: s.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}}
	if err := p.get(ctx, s.Issuer+"/.well-known/openid-configuration",
		"", &p.metadata); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if p.metadata.Issuer != s.Issuer {
		return nil, fmt.Errorf("discovery: %s says that it is %q", s.Issuer, p.metadata.Issuer)
	}
	for _, endpoint := range []string{p.Authorization, p.Token, p.Introspection, p.Revocation,
		p.Keys} {
		if endpoint == "" {
			return nil, errors.New(
				"discovery: an endpoint is missing: authorization, token, introspection, " +
					"revocation or keys")
		}
	}
	p.login = oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.URL + "/callback",
		Scopes: []string{"openid", "profile", "users:read"},
		Endpoint: oauth2.Endpoint{AuthURL: p.Authorization, TokenURL: p.Token,
			AuthStyle: oauth2.AuthStyleInHeader},
	}
	p.records = resourceserver.Introspection{Endpoint: p.Introspection, ClientID: s.ClientID,
		ClientSecret: s.ClientSecret, Client: p.http}
	var err error
	p.ids, err = tokenexchange.NewVerifier(tokenexchange.Trust{
		Issuer: s.Issuer, JWKSURL: p.Keys, Foreign: true, Audience: []string{s.ClientID},
		Types:    map[tokenexchange.TokenType]string{tokenexchange.TypeIDToken: ""},
		AuthTime: true, // logIn compares it with its own clock
	})
	return p, err
}

// logIn redeems the code of a login for the operator's access token, and returns the user of the ID
// token.
func (p *provider) logIn(ctx context.Context, code string, l pendingLogin) (
	*oauth2.Token, person, error) {
	tok, err := p.login.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.http), code,
		oauth2.VerifierOption(l.Verifier))
	if err != nil {
		return nil, person{}, err
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := p.ids.Verify(ctx,
		tokenexchange.Credential{Token: raw, Type: tokenexchange.TypeIDToken, Now: p.Now()})
	if err != nil {
		return nil, person{}, fmt.Errorf("ID token: %w", err)
	}
	var claims struct {
		Nonce string `json:"nonce"`
		Name  string `json:"name"`
	}
	if err := json.Unmarshal(id.Claims, &claims); err != nil {
		return nil, person{}, err
	}
	switch {
	case claims.Nonce != l.Nonce:
		err = errors.New("ID token: of another login")
	case len(id.Audience) != 1:
		err = errors.New("ID token: for others too")
	case id.AuthTime.Before(l.Begun.Add(-time.Minute)): // a minute of clock skew
		err = errors.New("ID token: the user was not asked for a password")
	case tok.Expiry.IsZero():
		err = errors.New("the access token has no expiry")
	}
	if err != nil {
		return nil, person{}, err
	}
	return tok, person{ID: id.Subject, Name: claims.Name}, nil
}

// actFor is the exchange. The subject is a user by id, and the actor is the operator by their own
// token. The new token is introspected before it is used, because the banner must not name two
// people if the token names one. With an error the result may have a token, which must be revoked.
func (p *provider) actFor(ctx context.Context, operator *oauth2.Token, a acting,
	operatorID string) (acting, error) {
	config := client.Config{
		Server: clientcredentials.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret,
			TokenURL:       p.Token,
			EndpointParams: url.Values{"reason": {a.Reason}}},
		Request: tokenexchange.Request{SubjectTokenType: typeUserID,
			ActorTokenType: tokenexchange.TypeAccessToken,
			Audience:       []string{p.ShopAudience}, Scope: a.Scope},
		Subject: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: a.User.ID}),
		Actor:   oauth2.StaticTokenSource(operator),
	}
	answer, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.http))
	if err != nil {
		return a, err
	}
	a.token, a.Expires = answer.AccessToken, p.Now().Add(
		time.Duration(answer.ExpiresIn)*time.Second)
	tok, err := p.describe(ctx, a.token)
	if err == nil &&
		(tok.Subject != a.User.ID || tok.Actor == nil || tok.Actor.Subject != operatorID) {
		err = errors.New("the token that was issued does not name both people")
	}
	if err == nil {
		a.Expires, a.Scope = tok.Expires, tok.Scope
	}
	return a, err
}

// describe introspects an access token (RFC 7662). It returns InvalidRequest for an inactive one.
func (p *provider) describe(ctx context.Context, token string) (tokenexchange.Token, error) {
	return p.records.Verify(ctx, tokenexchange.Credential{Token: token,
		Type: tokenexchange.TypeAccessToken, Issuer: p.settings.Issuer, Now: p.Now()})
}

// end revokes a token (RFC 7009) and introspects it. It returns nil only if the authorization
// server confirms that the token is inactive.
func (p *provider) end(ctx context.Context, token string) error {
	if err := p.revoke(ctx, token); err != nil {
		return err
	}
	_, err := p.describe(ctx, token)
	if errors.Is(err, tokenexchange.InvalidRequest) {
		return nil
	}
	return errors.Join(errors.New("the token has been revoked, and is not known to be inactive"),
		err)
}

func (p *provider) revoke(ctx context.Context, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Revocation,
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret))
	return p.do(req, nil)
}

// directory lists the people that the bearer of a token may see.
func (p *provider) directory(ctx context.Context, token string) ([]person, error) {
	var list struct {
		Users []person `json:"users"`
	}
	err := p.get(ctx, p.Directory, token, &list)
	return list.Users, err
}

func (p *provider) get(ctx context.Context, address, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return p.do(req, into)
}

// badStatus is a response with another status than 200.
type badStatus int

func (s badStatus) Error() string { return fmt.Sprintf("answered with status %d", int(s)) }

// do sends a request and decodes the JSON of a successful response, unless into is nil.
func (p *provider) do(req *http.Request, into any) error {
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return badStatus(resp.StatusCode)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
