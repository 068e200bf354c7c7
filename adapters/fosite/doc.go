// Package fositeexchange adds token exchange (RFC 8693) to an authorization server built on
// ory/fosite. Package tokenexchange decides. Storage, signing, client authentication and the
// endpoint remain those of the host:
//
//	exchange := fositeexchange.Config{Exchanger: exchanger, NewSession: newSession}
//	provider := compose.Compose(config, store, strategy,
//		compose.OAuth2TokenIntrospectionFactory, exchange.Factory)
//	mux.Handle("/token", fositeexchange.ReadForm(tokenEndpoint))
//
// A client needs tokenexchange.GrantType among its grant types. Access tokens are made by the
// strategy of the server, as opaque tokens or JWTs. Client, scope, audience and expiry of a
// presented access token come from the storage; act, may_act, cnf, auth_time, acr and amr come from
// the extra claims of its session. Issued tokens get a new session; the session that the host
// passes to NewAccessRequest is not used.
//
// Everything that Exchanger.Handler refuses is refused here too, but code, description and order
// may differ, and fosite's own refusals are not audited. No refresh token is issued. The storage
// must keep the form of a record. README.md lists all differences from Exchanger.Handler.
package fositeexchange
