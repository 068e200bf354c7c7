package world

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange"
)

// Directory is the people and programs of a world, as they are now. Whoever is changed here is judged by the change at
// their next request, refreshes included.
type Directory struct {
	mu      sync.RWMutex
	users   map[string]User
	clients map[string]Client
	order   []string // ids of users, as in the world

	Passwords, Secrets Hashes // of users, and of clients
}

// NewDirectory takes over users and clients. Secrets are kept as hashes: cheap ones, where the file has them in the plain
// anyway.
func NewDirectory(w *World) (*Directory, error) {
	d := &Directory{users: map[string]User{}, clients: map[string]Client{}}
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
	if d.Passwords, err = newHashes(passwords); err != nil {
		return nil, err
	}
	d.Secrets, err = newHashes(secrets)
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

func (d *Directory) User(id string) (User, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, known := d.users[id]
	return u, known
}

func (d *Directory) Client(id string) (Client, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c, known := d.clients[id]
	return c, known
}

// Users returns the users in the order of the world.
func (d *Directory) Users() []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]User, 0, len(d.order))
	for _, id := range d.order {
		list = append(list, d.users[id])
	}
	return list
}

// ChangeUser changes what is known of a user: status, roles, scope. It does nothing to a stranger.
func (d *Directory) ChangeUser(id string, change func(*User)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u, known := d.users[id]; known {
		change(&u)
		d.users[id] = u
	}
}

// ChangeClient is changeUser for a client: status, grants, scope. Its keys and the audience of its tokens are what they
// were when the server was started.
func (d *Directory) ChangeClient(id string, change func(*Client)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, known := d.clients[id]; known {
		change(&c)
		d.clients[id] = c
	}
}

// Public reports whether the client has no credential of its own.
func (c Client) Public() bool { return len(c.AuthMethods) == 0 }

// Title is how people know the client.
func (c Client) Title() string { return cmp.Or(c.Name, c.ID) }

// AllowedResponseTypes are what it may ask the authorization endpoint for.
func (c Client) AllowedResponseTypes() []string {
	if len(c.ResponseTypes) == 0 && slices.Contains(c.Grants, GrantCode) {
		return []string{ResponseCode}
	}
	return c.ResponseTypes
}

// Registered is the client as an exchange sees it. A client without scope is registered for none.
func (c Client) Registered() tokenexchange.Client {
	return tokenexchange.Client{ID: c.ID, Audiences: slices.Clone(c.Audiences), Public: c.Public(),
		Scope: append(tokenexchange.Scope{}, c.Scope...)}
}
