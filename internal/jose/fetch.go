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

// maxSet is the limit for a fetched JWK set, in bytes after decompression. A hundred RSA keys with
// their certificate chains fit.
const maxSet = 512 << 10

// checkURL refuses http to another machine, where a third party could replace the keys. It refuses
// a user name, which would end up in logs, and a fragment, which no server receives.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("the URL of the keys does not parse") // err may quote a password
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

// loopback reports whether a host is localhost or a loopback address. A name that resolves to one
// does not count, since DNS can change.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// newClient returns a client with the default transport of the process, and so with its proxies and
// roots. It follows no redirect, since the URL of the keys is a matter of configuration.
func newClient() *http.Client {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{CheckRedirect: stay}
}

// get fetches the set once. It fails for any answer but a 200 with a whole JWK set within maxSet.
func (r *Remote) get() (*Keys, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.fetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	// The deadline of ctx also applies to the body.
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d from %s", resp.StatusCode, r.url)
	}
	// One byte more than the limit tells a set that is too long from one that just fits.
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
