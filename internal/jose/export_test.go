package jose

import (
	"net/http"
	"time"
)

// SetClock replaces the clock.
func (r *Remote) SetClock(now func() time.Time) { r.now = now }

// SetFetchLimit replaces the time that one fetch may take.
func (r *Remote) SetFetchLimit(d time.Duration) { r.fetchLimit = d }

// SetTransport replaces the transport, for the certificates of a test server.
func (r *Remote) SetTransport(t http.RoundTripper) { r.client.Transport = t }

// Settle waits for a fetch that runs, if one does.
func (r *Remote) Settle() {
	r.mu.Lock()
	f := r.last
	r.mu.Unlock()
	if f != nil {
		<-f.done
	}
}
