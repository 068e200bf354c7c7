package jose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxSet is how long a fetched JWK set may be, in bytes, after any decompression. A hundred RSA keys with their
// certificate chains fit.
const maxSet = 512 << 10

// checkURL refuses what could hand the choice of keys to somebody on the way: http beyond this machine. User names would
// end up in logs, and a fragment is a sign that the URL was meant for something else.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("the URL of the keys does not parse") // not err, which quotes what may be a password
	case u.Hostname() == "":
		return errors.New("the URL of the keys has no host")
	case u.User != nil:
		return errors.New("the URL of the keys has a user name")
	case strings.Contains(raw, "#"):
		return errors.New("the URL of the keys has a fragment")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("the URL of the keys is neither https nor http to a loopback address")
}

// loopback says whether a host is this machine by its very name. Names that merely resolve to it do not count: who
// answers for them can change.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// newClient uses the process's default transport, with the proxies and roots the host has set up there. It follows no
// redirect: where the keys are is configuration, not a matter for whoever answers.
func newClient() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get fetches the set once. Whatever is not a 200 with a whole JWK set, in time and within its size, is an error.
func (r *Remote) get() (*Keys, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.fetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	// The deadline of ctx holds for the body as well.
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d from %s", resp.StatusCode, r.url)
	}
	// One byte more than allowed tells a set that is too long from one that just fits. A cut one would not parse anyway,
	// but the reason given would be the wrong one.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSet+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.url, err)
	}
	if len(body) > maxSet {
		return nil, fmt.Errorf("more than %d bytes from %s", maxSet, r.url)
	}
	keys, err := parseFetched(body, r.methods)
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", r.url, err)
	}
	return keys, nil
}
