// Package corpus holds the behaviour of (*Policy).Decide still: 200,000 pairs of a policy and facts,
// and a hash of what is decided about them in testdata/outcomes.txt. It has tests only.
//
// A block is 20 pairs, drawn from the number of the block alone, and has one line in the file. The
// hash covers the whole outcome of each pair. A policy that NewPolicy refuses is rejected. A refusal
// is its code and its rule; the text of the reason is free to change. A grant is every field of the
// Decision, and what the decision says about the token to issue: its claims, may_act and lineage.
//
// The pairs are drawn near a grant: a rule and facts that fit it, then a few changes to the facts
// and the rule, among other rules that resemble it. The generator has a rule type of its own, and
// convert makes the public Rule of it. A change of the shape of Rule changes convert and nothing
// else. A rule that the new shape cannot express is rejected, as NewPolicy rejects it today.
//
// # Reading a difference
//
// The test names the blocks with other outcomes. To see one, print its pairs here and in the tree
// that recorded the file, and compare the two:
//
//	TOKENEXCHANGE_CORPUS=4711 go test -v -run TestOutcomes ./internal/corpus >new
//	cd ../recorded && TOKENEXCHANGE_CORPUS=4711 go test -v -run TestOutcomes ./internal/corpus >old
//	diff old new
//
// Each pair is printed as a JSON object with policy, facts and outcome. If policies or facts differ
// too, the generator was changed and not the decision. White space in
// an actor's JSON is not printed, but part of what is compared.
//
// A change of behaviour that is meant is recorded with
//
//	go test ./internal/corpus -update
//
// in the commit that changes the behaviour, whose message lists what is decided otherwise. Two
// further tests count what occurs in the corpus, and how often each setting of a rule decides.
// They fail if the generator no longer reaches something often enough. With -race every tenth
// block is compared, and nothing is counted.
package corpus
