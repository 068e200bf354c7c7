// Package interop drives examples/authserver with OAuth clients from other projects:
// golang.org/x/oauth2, its google/externalaccount and github.com/coreos/go-oidc here, oauth4webapi,
// openid-client and jose in the *.test.mjs files. It holds tests only, in a module of its own, so
// that none of these clients is a dependency of the library.
//
// The script run starts the server and both test runners. The tests fail without a server.
package interop
