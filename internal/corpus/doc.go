// Package corpus records the behaviour of (*Policy).Decide. It draws 200,000 pairs of a policy and
// facts, and compares the outcomes with the hashes in testdata/outcomes.txt. It has tests only.
//
// A block has 20 pairs and one line in the file. Its pairs depend on the number of the block alone.
// The hash covers the whole outcome of each pair:
//
//   - rejected, where NewPolicy returns an error or the public Rule cannot express a rule;
//   - for a refusal, the error code and the name of the rule, but not the text of the reason;
//   - for a grant, every field of the Decision except Facts, and the claims, the may_act and the
//     lineage that the decision gives for the issued token.
//
// The generator starts with a rule and facts that the rule grants. It then changes a few settings
// of the rule and a few facts, and puts the rule among similar rules. It uses a rule type of its
// own, which convert translates to the public Rule. If the shape of the public Rule changes, only
// convert changes.
//
// # Reading a difference
//
// The test names the blocks with other outcomes. To see one, print its pairs here and in the tree
// that recorded the file, and compare the two:
//
//	export TOKENEXCHANGE_CORPUS=4711
//	go test -v -run TestOutcomes ./internal/corpus >new
//	(cd ../recorded && go test -v -run TestOutcomes ./internal/corpus) >old
//	diff old new
//
// Each pair is printed as a JSON object with policy, facts and outcome. If the policies or facts
// differ too, the generator has changed, not the decision. White space in an actor's JSON is
// compared, but the facts are printed without it.
//
// An intended change of behaviour is recorded with
//
//	go test ./internal/corpus -update
//
// in the commit that changes the behaviour. The message of the commit lists the changed decisions.
//
// Two further tests count what occurs in the corpus, and how often each setting of a rule changes
// the outcome. They fail if something occurs too rarely. With -race, only every tenth block is
// compared and nothing is counted.
package corpus
