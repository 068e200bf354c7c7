// Package pathtest tests the path property (I13): no sequence of exchanges, refreshes and other
// grants gives more than its first token allowed. It has tests only.
//
// One seed determines one path: a host with users, clients and an authorizer, a policy, a first
// token, and up to four hops. A hop is either likely to be granted, or asks for more than an
// earlier token allowed.
//
// The tests keep a model of each token, and compare every granted token with the limits of all
// tokens that it was made from. The model shares no code with package tokenexchange. The tests use
// the server only from outside: they present tokens, and read them as clients and APIs do.
//
// TOKENEXCHANGE_PATHS is the number of paths to walk, if it should not be the default. A failure
// names the seed of its path. TOKENEXCHANGE_PATH=seed walks that path only and logs it.
package pathtest
