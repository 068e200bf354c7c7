package main

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// beginLogin sends the browser to the authorization server (RFC 6749 §4.1, with PKCE, state and nonce).
func (c *console) beginLogin(w http.ResponseWriter, r *http.Request) {
	id, l, err := c.sessions.beginLogin()
	if err != nil {
		c.welcome(w, http.StatusServiceUnavailable, problemBusy)
		return
	}
	setCookie(w, cookieLogin, id, loginTime)
	http.Redirect(w, r, c.as.login.AuthCodeURL(l.state, oauth2.SetAuthURLParam("nonce", l.nonce), oauth2.S256ChallengeOption(l.verifier)),
		http.StatusSeeOther)
}

// finishLogin takes what the authorization server has sent back. A login is finished once, by the browser that began it, and
// with an answer of the server that was asked (RFC 9207).
func (c *console) finishLogin(w http.ResponseWriter, r *http.Request) {
	var l pendingLogin
	begun := false
	if cookie, err := r.Cookie(cookieLogin); err == nil {
		l, begun = c.sessions.takeLogin(cookie.Value)
	}
	setCookie(w, cookieLogin, "", 0)
	q := r.URL.Query()
	_, named := q["iss"]
	switch {
	case !begun || q.Get("state") != l.state:
		c.welcome(w, http.StatusBadRequest, problemLogin)
		return
	case (named || c.as.NamesItselfInLogin) && q.Get("iss") != c.Issuer:
		c.Log.Warn("login refused", "cause", "an answer of another issuer")
		c.welcome(w, http.StatusBadRequest, problemLogin)
		return
	case q.Get("code") == "":
		c.Log.Info("login refused", "error", q.Get("error"))
		c.welcome(w, http.StatusForbidden, problemNoLogin)
		return
	}
	ctx := context.WithoutCancel(r.Context())
	tok, operator, err := c.as.logIn(ctx, q.Get("code"), l)
	if err != nil {
		c.Log.Warn("login failed", "cause", err.Error())
		c.welcome(w, http.StatusBadGateway, problemNoLogin)
		return
	}
	id, err := c.sessions.add(operator, tok)
	if err != nil {
		_ = c.as.revoke(ctx, tok.AccessToken)
		c.welcome(w, http.StatusServiceUnavailable, problemBusy)
		return
	}
	if old := c.sessions.find(r); old != nil {
		c.endAll(ctx, c.sessions.remove(func(s *session) bool { return s == old }))
	}
	c.Log.Info("login", "operator", operator.ID)
	setCookie(w, cookieSession, id, c.Longest)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logOut ends everything: whom the operator acts for, their token, their session here, and the one at the authorization server.
func (c *console) logOut(w http.ResponseWriter, r *http.Request, s *session) {
	c.sessions.remove(func(other *session) bool { return other == s })
	c.endSession(r.Context(), s)
	setCookie(w, cookieSession, "", 0)
	if c.as.EndSession == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	// No id_token_hint: it is a token, and the browser would see it.
	http.Redirect(w, r, c.as.EndSession+"?"+url.Values{"client_id": {c.ClientID}, "post_logout_redirect_uri": {c.URL + "/"}}.Encode(),
		http.StatusSeeOther)
}

// endSession ends the tokens of a session that nobody can find any more. Without an answer of the authorization server they
// are forgotten all the same, and nobody else has them. The session is locked.
func (c *console) endSession(ctx context.Context, s *session) {
	if s.ended {
		return
	}
	s.ended = true
	c.endActing(ctx, s, "")
	if err := c.as.revoke(ctx, s.token.AccessToken); err != nil {
		c.Log.Warn("the operator's token is not revoked", "operator", s.operator.ID, "cause", err.Error())
	}
	c.Log.Info("session ended", "operator", s.operator.ID)
}

// welcome is the page for those who are not signed in.
func (c *console) welcome(w http.ResponseWriter, status int, p *problem) {
	title := "Sign in"
	if p != nil {
		title = p.Heading
	}
	c.render(w, status, "welcome.html", page{Title: title, Problem: p})
}
