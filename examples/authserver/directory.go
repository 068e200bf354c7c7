package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange"
)

// directory is the people and programs of a world, as they are now. Whoever is changed here is judged by the change at
// their next request, refreshes included.
type directory struct {
	mu      sync.RWMutex
	users   map[string]user
	clients map[string]client
	order   []string // ids of users, as in the world

	passwords, secrets hashes // of users, and of clients
}

// account is somebody at another issuer.
type account struct{ issuer, subject string }

// newDirectory takes over users and clients. Secrets are kept as hashes: cheap ones, where the file has them in the plain
// anyway.
func newDirectory(w *world) (*directory, error) {
	d := &directory{users: map[string]user{}, clients: map[string]client{}}
	var passwords, secrets []string
	for _, u := range w.Users {
		if err := hashed(&u.Password, &u.PasswordHash); err != nil {
			return nil, fmt.Errorf("password of %s: %w", u.ID, err)
		}
		passwords = append(passwords, u.PasswordHash)
		d.users[u.ID] = u
		d.order = append(d.order, u.ID)
	}
	for _, c := range w.Clients {
		if err := hashed(&c.Secret, &c.SecretHash); err != nil {
			return nil, fmt.Errorf("secret of %s: %w", c.ID, err)
		}
		secrets = append(secrets, c.SecretHash)
		d.clients[c.ID] = c
	}
	var err error
	if d.passwords, err = newHashes(passwords); err != nil {
		return nil, err
	}
	d.secrets, err = newHashes(secrets)
	return d, err
}

// hashed puts a hash in the place of what is in the plain.
func hashed(plain, hash *string) error {
	if *plain == "" {
		return nil
	}
	made, err := bcrypt.GenerateFromPassword([]byte(*plain), bcrypt.MinCost)
	*plain, *hash = "", string(made)
	return err
}

func (d *directory) user(id string) (user, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, known := d.users[id]
	return u, known
}

func (d *directory) client(id string) (client, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c, known := d.clients[id]
	return c, known
}

// everybody returns the users in the order of the world.
func (d *directory) everybody() []user {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]user, 0, len(d.order))
	for _, id := range d.order {
		list = append(list, d.users[id])
	}
	return list
}

// changeUser changes what is known of a user: status, roles, scope. It does nothing to a stranger.
func (d *directory) changeUser(id string, change func(*user)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u, known := d.users[id]; known {
		change(&u)
		d.users[id] = u
	}
}

// changeClient is changeUser for a client: status, grants, scope. Its keys and the audience of its tokens are what they
// were when the server was started.
func (d *directory) changeClient(id string, change func(*client)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, known := d.clients[id]; known {
		change(&c)
		d.clients[id] = c
	}
}

// public reports whether the client has no credential of its own.
func (c client) public() bool { return len(c.AuthMethods) == 0 }

// title is how people know the client.
func (c client) title() string { return cmp.Or(c.Name, c.ID) }

// responseTypes are what it may ask the authorization endpoint for.
func (c client) responseTypes() []string {
	if len(c.ResponseTypes) == 0 && slices.Contains(c.Grants, grantCode) {
		return []string{responseCode}
	}
	return c.ResponseTypes
}

// registered is the client as an exchange sees it. A client without scope is registered for none.
func (c client) registered() tokenexchange.Client {
	return tokenexchange.Client{ID: c.ID, Audiences: slices.Clone(c.Audiences), Public: c.public(),
		Scope: append(tokenexchange.Scope{}, c.Scope...)}
}
