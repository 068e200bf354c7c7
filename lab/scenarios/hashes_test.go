package scenarios

import (
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// withHashes returns a world with bcrypt hashes in place of its secrets and passwords. A server
// would hash them itself when it starts. There are some hundred servers, and bcrypt under the race
// detector is slow.
func withHashes(w *world.World) *world.World {
	hashed := *w
	hashed.Clients, hashed.Users = slices.Clone(w.Clients), slices.Clone(w.Users)
	for i := range hashed.Clients {
		hash(&hashed.Clients[i].Secret, &hashed.Clients[i].SecretHash)
	}
	for i := range hashed.Users {
		hash(&hashed.Users[i].Password, &hashed.Users[i].PasswordHash)
	}
	return &hashed
}

var hashesBySecret sync.Map

// hash replaces a secret by its hash.
func hash(secret, into *string) {
	if *secret == "" {
		return
	}
	known, ok := hashesBySecret.Load(*secret)
	if !ok {
		made, err := bcrypt.GenerateFromPassword([]byte(*secret), bcrypt.MinCost)
		if err != nil {
			panic(err)
		}
		known, _ = hashesBySecret.LoadOrStore(*secret, string(made))
	}
	*secret, *into = "", known.(string)
}
