// Package fositeexchange adds token exchange (RFC 8693) to an authorization server built on ory/fosite. The rules are those
// of package tokenexchange; storage, signing, client authentication and the endpoint stay the host's own:
//
//	exchange := fositeexchange.Config{
//		Exchanger:  tokenexchange.Exchanger{Issuer: issuer, Subjects: directory, Decide: policy.Decide, Actors: actors, Audit: audit},
//		NewSession: func() fosite.Session { return new(oauth2.JWTSession) },
//	}
//	provider := compose.Compose(config, store, strategy, compose.OAuth2TokenIntrospectionFactory, exchange.Factory)
//
// A client needs tokenexchange.GrantType among its grant types. Access tokens, opaque ones and JWTs, are those of the
// server's own strategy. One that is presented is verified by that strategy and looked up in the host's storage, which has
// the last word on subject, client, scope, audience and expiry; act, may_act, cnf, auth_time, acr and amr come from the
// extra claims of its session, where issued tokens have them too. A session without subject is about its client. The
// session that the host hands to NewAccessRequest is not looked at: an exchanged token gets a new one.
//
// # What fosite forces to be different
//
// Everything below stays as strict as tokenexchange.Exchanger.Handler or is stricter; codes and texts may be others.
//
//   - What fosite refuses before any handler is asked is not audited, and has fosite's codes and words: another method is
//     400 rather than 405; a missing grant type, and one that nobody handles, are invalid_request. So is a request without
//     client authentication, and a 401 comes without WWW-Authenticate. Clients are authenticated before media type, size
//     and query are looked at (R01, R02, R09, D03).
//   - There are no refresh tokens. Fosite's own refresh handler would renew one without asking the policy, so the scopes that
//     stand for one, Config.RefreshTokenScopes and offline_access, are no client's here: invalid_scope where they are asked
//     for, left out where they are inherited, whatever the rule says (D23, D28).
//   - Scopes of clients are compared as they are. A wildcard or a hierarchy of fosite's ScopeStrategy has no meaning, and
//     Client.GetAudience, which is what a client may ask for, has none either: targets are the policy's (D21, D24).
//   - A server whose strategy makes opaque tokens cannot issue the type jwt: invalid_request.
//   - Fosite's OpenID Connect strategy writes the current time where a subject has no auth_time, so ID tokens are made by
//     Config.IDTokens or not at all (D27). JWTs of fosite have the same typ whether they are access or ID tokens: what is
//     presented as an ID token of this server is refused if it says scp, as all of fosite's access tokens do.
//   - Every exchange has a request ID of its own. Were it that of the subject token, its client could revoke the login, and
//     the memory store, which keeps one signature for each ID, would lose sight of it. Instead the record of an exchanged
//     token names the tokens it was made from, in Request.Form, and as soon as fosite's storage has one of them no more, it is
//     refused at the next exchange and inactive at introspection by this provider. Its own record stays until it expires:
//     whoever asks the storage alone still finds it. A refresh of the login ends its access token, and so what was exchanged
//     from that one. A storage that drops the form, or expired records before an outliving token has expired, cannot do this.
//   - A chain of actors goes through the host's encoding of a session. Where that is JSON into a map, the order of members
//     and digits beyond a float64 are not kept (D12).
//   - An access token without expiry in its session is refused; fosite would take the configured lifespan for it (D25).
package fositeexchange
