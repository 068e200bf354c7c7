package world

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange"
)

// Directory has the current users and clients. A change takes effect at the next request, refreshes
// included.
type Directory struct {
	mu      sync.RWMutex
	users   map[string]User
	clients map[string]Client
	order   []string // ids of users, as in the world

	Passwords, Secrets Hashes // of users, and of clients
}

// NewDirectory takes users and clients from a world. It keeps secrets as hashes, with the lowest
// cost for secrets that the file has in plain text.
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

// hashed replaces plain text by its hash.
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

// ChangeUser changes the status, roles or scope of a user. It does nothing for an unknown user.
func (d *Directory) ChangeUser(id string, change func(*User)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u, known := d.users[id]; known {
		change(&u)
		d.users[id] = u
	}
}

// ChangeClient changes the status, grants or scope of a client. Its keys and the audience of its
// tokens are fixed when the server starts.
func (d *Directory) ChangeClient(id string, change func(*Client)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, known := d.clients[id]; known {
		change(&c)
		d.clients[id] = c
	}
}

// Public reports whether the client has no credentials.
func (c Client) Public() bool { return len(c.AuthMethods) == 0 }

// Title is the name that people see.
func (c Client) Title() string { return cmp.Or(c.Name, c.ID) }

// AllowedResponseTypes are the response types that the client may ask for.
func (c Client) AllowedResponseTypes() []string {
	if len(c.ResponseTypes) == 0 && slices.Contains(c.Grants, GrantCode) {
		return []string{ResponseCode}
	}
	return c.ResponseTypes
}

// Registered is the client as an exchange sees it. A client without scope is registered for no
// scope.
func (c Client) Registered() tokenexchange.Client {
	return tokenexchange.Client{ID: c.ID, Audiences: slices.Clone(c.Audiences), Public: c.Public(),
		Scope: append(tokenexchange.Scope{}, c.Scope...)}
}
