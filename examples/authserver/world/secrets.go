package world

import (
	"golang.org/x/crypto/bcrypt"
)

// longestSecret is the number of bytes that bcrypt reads.
const longestSecret = 72

// Hashes compares secrets with the bcrypt hashes of all users, or of all clients. Hashes may differ
// in cost, and a comparison at cost c takes 2^c rounds. Every call of Match takes as many rounds as
// the most expensive hash, so its time does not tell whether a user or client exists.
type Hashes struct {
	Compare func(hash, secret []byte) error // bcrypt.CompareHashAndPassword
	highest int                             // the highest cost of all hashes
	dummies [][]byte                        // one for each cost from bcrypt.MinCost to highest
}

func newHashes(all []string) (Hashes, error) {
	h := Hashes{Compare: bcrypt.CompareHashAndPassword, highest: bcrypt.MinCost}
	for _, hash := range all {
		if cost, err := bcrypt.Cost([]byte(hash)); err == nil {
			h.highest = max(h.highest, cost)
		}
	}
	for cost := bcrypt.MinCost; cost <= h.highest; cost++ {
		dummy, err := bcrypt.GenerateFromPassword([]byte("dummy"), cost)
		if err != nil {
			return Hashes{}, err
		}
		h.dummies = append(h.dummies, dummy)
	}
	return h, nil
}

// Match reports whether hash is a hash of the secret. It is false for an empty hash, as of an
// unknown user or client, or one without a secret.
//
// After a comparison at cost c, comparisons at c, c+1, … h-1 make up the rounds of the highest cost
// h: 2^c + (2^c + 2^(c+1) + … + 2^(h-1)) = 2^h.
func (h Hashes) Match(hash, secret string) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		_ = h.Compare(h.dummies[h.highest-bcrypt.MinCost], []byte(secret))
		return false
	}
	same := h.Compare([]byte(hash), []byte(secret)) == nil
	for ; cost < h.highest; cost++ {
		_ = h.Compare(h.dummies[cost-bcrypt.MinCost], []byte(secret))
	}
	return same && len(secret) <= longestSecret
}

// CheckPassword reports whether the password is that of an enabled user. It takes the same time for
// a user who is unknown, locked or without a password.
func (d *Directory) CheckPassword(id, password string) bool {
	u, _ := d.User(id)
	return d.Passwords.Match(u.PasswordHash, password) && u.Status.Enabled()
}
