package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// walk has the clients, each with its secret, and the APIs. It knows the server's URL, and reads
// the audit trail as an operator would.
type walk struct {
	base    string
	secrets map[string]string // by client_id
	tokens  map[string]issued // by their printed names
	trail   *trail
}

// issued is a token that a client holds.
type issued struct {
	value   string
	expires time.Time
	origin  string // its name in the lineage of tokens made from it
}

func issuedAs(t tokenexchange.IssuedToken) issued {
	return issued{t.Value, t.Expires, originOf(t.ID)}
}

// take takes all steps, prints each, and stops at the first with an unexpected outcome.
func (k *walk) take(ctx context.Context, out io.Writer, steps []step) error {
	w := bufio.NewWriter(out)
	printHeader(w)
	var entries []fields
	n, title := 0, ""
	for _, s := range steps {
		if s.title != "" {
			n, title = n+1, s.title
		}
		name := fmt.Sprintf("<token %d>", n)
		o, err := k.exchange(ctx, s, name)
		if err == nil {
			printStep(w, n, s, o)
			err = errors.Join(w.Flush(), o.check(s))
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", n, title, err)
		}
		if o.issued.value != "" {
			k.tokens[name] = o.issued
		}
		entries = append(entries, o.audit)
	}
	printAudit(w, entries)
	return w.Flush()
}

// exchange sends the form, and has the new token verified by every API that it is for. The new
// token will be printed as name.
func (k *walk) exchange(ctx context.Context, s step, name string) (o outcome, err error) {
	form := url.Values{"grant_type": {tokenexchange.GrantType}}
	for _, f := range s.form {
		if t, known := k.tokens[f.value]; known {
			form.Add(f.name, t.value)
			o.limit(t.expires)
		} else {
			form.Add(f.name, f.value)
		}
	}
	before := len(k.trail.since(0))
	resp, body, err := k.post(ctx, s.client, form)
	if err != nil {
		return o, err
	}
	if err := o.readAnswer(resp, body, name); err != nil {
		return o, err
	}
	if err := o.readAudit(k.trail.since(before)); err != nil {
		return o, err
	}
	for _, api := range form["audience"] {
		if o.issued.value == "" {
			break
		}
		tok, err := k.verifyAt(ctx, api, o.issued.value)
		if err != nil {
			return o, fmt.Errorf("%s refuses the token: %w", api, err)
		}
		if err := o.readToken(tok, k.names()); err != nil {
			return o, err
		}
	}
	return o, nil
}

// names returns the names of tokens, by the origin that a lineage lists.
func (k *walk) names() map[string]string {
	names := map[string]string{}
	for name, t := range k.tokens {
		names[t.origin] = name
	}
	return names
}

// post is one client. It shares nothing with the others, not even a connection.
func (k *walk) post(ctx context.Context, client string, form url.Values) (
	*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.base+"/token",
		strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(k.secrets[client]))
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, body, err
}

// verifyAt is what an API does with a token. It knows the server's issuer, the URL of its keys, and
// its own name. To an API the server is another issuer: hence Foreign, and TypeJWT. A real API
// makes its Verifier once, when it starts.
func (k *walk) verifyAt(ctx context.Context, api, token string) (tokenexchange.Token, error) {
	v, err := tokenexchange.NewVerifier(tokenexchange.Trust{
		Issuer:  issuer,
		JWKSURL: k.base + "/jwks",
		// "" is the default typ, at+jwt
		Types:     map[tokenexchange.TokenType]string{tokenexchange.TypeJWT: ""},
		Foreign:   true,
		Audience:  []string{api},
		ActClaims: true,
	})
	if err != nil {
		return tokenexchange.Token{}, err
	}
	return v.Verify(ctx, tokenexchange.Credential{Token: token, Type: tokenexchange.TypeJWT,
		Issuer: api, Now: time.Now()})
}
