// Package tokenstore is what an authorization server needs around package tokenexchange as soon as its tokens are not
// only JWTs: opaque access tokens and refresh tokens, families of tokens that end together, refresh with rotation, tickets
// that are good once, replay memory, introspection (RFC 7662) and revocation (RFC 7009).
//
// A Store keeps records and knows nothing of tokens; Memory is the one that comes with the package, package storetest
// holds any other to the contract. Tokens is all the rest, independent of the driver, and is meant to be embedded: it is
// the TokenIssuer of an Exchanger, a verifier for its Verifiers, the Live of a Trust, and the handlers beside it.
//
// Every token knows all tokens that it was made from: subject, actor, refresh grant, and what those were made from. To
// revoke one of them is to end everything that was made from it, at once and however many exchanges lie between; to
// revoke what was made leaves its parents alone, and a parent that merely expires ends nothing. What is asked for
// liveness sees that: introspection, an exchange, a refresh. A resource server that checks a JWT by its signature alone
// does not.
//
// A Store never holds a token, only hashes of tokens. It does hold personal data: who acted for whom, where and until
// when, and with a refresh token what a later decision needs, see Tokens.Keep.
package tokenstore
