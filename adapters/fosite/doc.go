// Package fositeexchange adds token exchange (RFC 8693) to an authorization server built on ory/fosite. The rules are those
// of package tokenexchange; storage, signing, client authentication and the endpoint stay the host's own:
//
//	exchange := fositeexchange.Config{
//		Exchanger:  tokenexchange.Exchanger{Issuer: issuer, Subjects: directory, Decide: policy.Decide, Actors: actors, Audit: audit},
//		NewSession: func() fosite.Session { return new(oauth2.JWTSession) },
//	}
//	provider := compose.Compose(config, store, strategy, compose.OAuth2TokenIntrospectionFactory, exchange.Factory)
//	mux.Handle("/token", fositeexchange.ReadForm(tokenEndpoint))
//
// A client needs tokenexchange.GrantType among its grant types. Access tokens are those of the server's own strategy, opaque
// or JWTs. Of one that is presented the storage knows client, scope, audience and expiry; act, may_act, cnf, auth_time, acr
// and amr come from the extra claims of its session. What is issued gets a new session: the one that the host hands to
// NewAccessRequest is not looked at.
//
// # What fosite forces to be different
//
// What Exchanger.Handler refuses is refused here too; codes, texts and order may be others.
//
//   - What fosite refuses before it asks a handler is not audited, and has its codes and words: another method is 400, no client
//     authentication and an unknown grant are invalid_request, a 401 has no WWW-Authenticate. The client is authenticated
//     before media type and query are looked at, so what is wrong with these is audited (R01, R02, R09, D03).
//   - There are no refresh tokens: fosite's own handler would renew one without asking the policy. The scopes that stand for
//     one, Config.RefreshTokenScopes and offline_access, are no client's here (D23, D28).
//   - Scopes are compared as they are, whatever fosite's ScopeStrategy; Client.GetAudience means nothing (D21, D24).
//   - A strategy that makes opaque tokens issues no type jwt: invalid_request.
//   - ID tokens are made by Config.IDTokens: fosite's strategy invents an auth_time (D27). Those
//     that fosite makes at a login say no azp, so an actor who comes with one has no client_id in
//     act.
//   - Fosite does not mark what a record is of, so a client credentials grant gets a mark in its
//     session, from the provider that has this Factory. Where a record has no mark, its form
//     decides. One that may be of either endpoint is refused: with both grant_type and
//     response_type, with a grant_type that is repeated or has blanks, and client_credentials with
//     a session that names another subject than the client (D19).
//   - An ID token of this server needs azp, nonce, at_hash, c_hash or s_hash, and no scp, whatever
//     the host's verifier says. The record of one that an exchange made is kept beside those of
//     access tokens, with its jti as request ID; one that says act, client_id or lineage and has no
//     record is refused (R07, D07).
//   - An access token has one text. Fosite takes others for it, with blanks, without the prefix or
//     with unused bits; these are refused here, and inactive at introspection (R08).
//   - Introspection by this provider asks Exchanger.Resolver about the subject and the current
//     actor of every access token and refresh token, a client that acts included (D07). Fosite
//     answers a failure with active: false too.
//   - An access token whose session says no expiry is refused; fosite would take the configured lifespan for it (D25).
//   - A session decoded from JSON has the members of an actor sorted, and no digits beyond a float64 (D12).
//   - The record of an exchanged token names those that it was made from, in Request.Form. Once the
//     storage lacks one of them, the token is refused here, and inactive at introspection by this
//     provider; its own record stays, for whoever asks the storage. So a refresh of a login ends
//     what was made from its access token. It has a request ID of its own, or the client of an
//     exchange could revoke the login. A storage must keep the form, or exchanged tokens are
//     refused, and expired records as long as a rule lets a token outlive them.
package fositeexchange
