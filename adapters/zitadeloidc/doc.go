// Package zitadelexchange adds token exchange (RFC 8693) to a server built on package op of zitadel/oidc. The rules are those
// of package tokenexchange; storage, keys, client authentication and endpoints stay the host's own. A host embeds
// *op.LegacyServer, overrides TokenExchange with that of a Grant, registers the server with the middleware NoStore, and keeps
// a record (TokenOf) of each access token that its storage creates; the example shows it. A client needs the grant among its
// GrantTypes. The provider must not be reachable at the token endpoint by itself: it would answer with its own exchange.
//
// # What zitadel/oidc forces to be different
//
//   - What it refuses before TokenExchange is asked is not audited, is in its own words, and has no no-store without NoStore:
//     a form that cannot be parsed; a missing or unknown grant type; client authentication that fails, for whatever reason
//     (no 401, no WWW-Authenticate, and for private_key_jwt what the storage says, I12: override VerifyClient); a client
//     without the grant; no subject_token or subject_token_type (R02, R03, R09, R12, I07).
//   - So is a token type, of whichever parameter, that is not in the global list oidc.AllTokenTypes. A host with further
//     entries in Exchanger.Verify, or types in its rules, appends them to that list before it serves (R07).
//   - Only then are method, media type, size and query looked at, and what is wrong with them is audited, since there is a
//     client. Another method than POST gets its 405 without Allow (R01, D03).
//   - The storage chooses the expiry of a record. An opaque token that would outlive what was decided is revoked, and the
//     answer server_error (I04): a storage with a usual lifetime takes the earlier of that and Request.Decision.Expires.
//   - A token has one text: each segment is strict base64url. An op.Crypto of the host must write
//     that, as those of the framework do (R08).
//   - An opaque token says nothing but its id, and the framework's JWTs have the typ JWT, whatever they are, and no scope. So
//     all that counts is read in the record, and kinds are told apart by azp and nbf. JWTs that are exchanged are at+jwt with
//     scope, by tokenexchange.JWTIssuer: the storage's SigningKey must be a crypto.Signer, further claims come from
//     Grant.Claims and not from the storage, and ClockSkew and IDTokenLifetime of an op.Client have no meaning.
//   - There are no refresh tokens. The framework's own refresh handler would renew one without asking the policy, so the scope
//     offline_access is no client's here: invalid_scope where it is asked for, left out where it is inherited (D23, D28).
//   - The framework links no tokens: its revocation ends one token only. So the record that TokenOf
//     keeps, and each ID token that an exchange made, list in Lineage.From the tokens they were
//     made from. A storage that keeps the Token.Origin of each token it revokes, for as long as a
//     token made from it may live, ends those too: it refuses in Grant.Token, Grant.Session and
//     introspection what has a revoked origin or lists one. The example does so.
//   - Its discovery document names the grant only if the storage is an op.TokenExchangeStorage, whose methods nobody calls.
package zitadelexchange
