// Package zitadelexchange adds token exchange (RFC 8693) to a server built on package op of
// zitadel/oidc. Package tokenexchange decides. Storage, keys, client authentication and endpoints
// remain those of the host.
//
// A host embeds *op.LegacyServer and overrides its method TokenExchange with that of a Grant. It
// registers the server with the middleware NoStore. Its storage keeps the record that TokenOf
// returns for each access token. A client needs the grant among its GrantTypes. The provider must
// not be reachable at the token endpoint by itself, since it would use its own exchange.
//
// Refusals of the framework itself are not audited and have its own texts. No refresh token is
// issued. README.md lists all differences from Exchanger.Handler.
package zitadelexchange
