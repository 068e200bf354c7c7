// Package securitytest attacks the authorization server of internal/world: hostile tokens, forms
// and bodies, hosts that fail, and what has gone wrong in other implementations. It has tests only.
package securitytest
