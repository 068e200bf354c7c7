// Package scenarios tests what the reference systems of docs/scenarios.md can do, one row a
// scenario, over HTTP against the server of examples/authserver. It holds tests only.
package scenarios
