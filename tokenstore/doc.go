// Package tokenstore adds stored tokens to package tokenexchange: opaque access tokens and refresh
// tokens, refresh with rotation, revocation of everything that was made from a token, single-use
// tickets, replay protection, introspection (RFC 7662) and revocation (RFC 7009).
//
// A Store keeps records and knows nothing about tokens. Memory is the Store of this package;
// package storetest checks any other. Tokens does the rest with any Store. It is a TokenIssuer for
// an Exchanger, a verifier for its Verifiers, the Live function of a Trust, and the handlers of the
// further endpoints.
//
// A token knows all tokens that it was made from: the subject token, the actor token, the refresh
// grant, and the tokens that those were made from. Revoking a token ends at once everything that
// was made from it, through any number of exchanges, and leaves the tokens that it was made from as
// they are. A token that merely expires ends nothing. Introspection, exchange and refresh see the
// revocation. A resource server that checks only the signature of a JWT does not.
//
// A Store never holds a token, only hashes of tokens. It does hold personal data: which party acted
// for which user, where and until when, and for a refresh token the data that a later decision
// needs (see Tokens.Keep).
package tokenstore
