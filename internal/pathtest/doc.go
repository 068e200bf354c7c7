// Package pathtest holds the path property: no sequence of exchanges, refreshes and doors gives
// more than its first token allowed (invariant I13). It has tests only.
//
// One path is drawn from one seed: a host with its people, clients and authorizer, a policy, a
// first token, and up to four hops. Every hop is chosen so that it is likely to be granted, or so
// that it asks for more than an earlier token allowed. The tests keep a model of each token on the
// path, in plain code of their own, and hold every token that is granted to the limits of all
// tokens that it descends from. They look at the server from outside: they present tokens, and read
// them as clients and APIs do.
//
// TOKENEXCHANGE_PATHS says how many paths to walk where more are wanted than usual. A failure names
// the seed of its path; TOKENEXCHANGE_PATH=seed walks and shows that path alone.
package pathtest
