package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const (
	pairs     = 200_000 // how many pairs the corpus has
	blockSize = 20      // pairs behind one hash
	seed      = 8693
)

const (
	own     = "https://as.example"
	idp     = "https://idp.example"
	partner = "https://partner.example"

	userID    = tx.TokenType("urn:example:user-id")
	ticket    = tx.TokenType("urn:example:ticket")
	assertion = tx.TokenType("urn:example:assertion")

	exchange  = tx.GrantType
	refresh   = "refresh_token"
	jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// The vocabulary is small, so that what one draw names another often names too.
var (
	clients   = []string{"web", "api", "agent", "batch"}
	users     = []string{"alice", "bob", "carol"}
	workloads = []string{"job", "cron"}
	tenants   = []string{"", "acme", "globex"}
	places    = []string{"https://orders.example", "https://bills.example", "https://mail.example",
		"https://files.example", "https://crm.example"}
	words    = []string{"read", "write", "admin", "pay", "log"}
	further  = []string{"openid", "offline_access"}
	never    = []string{"act_as:bob", "act_as", "internal_user_impersonate"}
	evidence = []tx.TokenType{userID, ticket, assertion, tx.TypeSAML2, tx.TypeSAML1}
	anybody  = tx.Identity{Issuer: "*", Kind: "*", Tenant: "*", ID: "*"}
	noon     = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// pair is one question: a policy and the facts that it is asked about.
type pair struct {
	Policy policy   `json:"policy"`
	Facts  tx.Facts `json:"facts"`

	contradicts bool // a rule was made one that cannot be accepted, or nearly so
}

// block returns the pairs of one block. They depend on nothing but its number.
func block(n int) []pair {
	d := dice{rand.New(rand.NewPCG(seed, uint64(n)))}
	list := make([]pair, blockSize)
	for i := range list {
		list[i] = draw(d)
	}
	return list
}

type dice struct{ *rand.Rand }

// often is true so many times in a hundred.
func (d dice) often(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

// some returns a part of the list, in order.
func some[T any](d dice, list []T, percent int) []T {
	var part []T
	for _, v := range list {
		if d.often(percent) {
			part = append(part, v)
		}
	}
	return part
}

// plus returns a new list with values that may be in the list already.
func plus[T any](list []T, values ...T) []T { return slices.Concat(list, values) }

func shuffled[T any](d dice, list []T) []T {
	list = slices.Clone(list)
	d.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(prefix, i)
	}
	return list
}

// scene is a rule and facts that it grants, as far as the draws below get it right. Every draw
// decides on a feature and gives both sides of it: a token of another client in the facts and
// other_tokens in the rule.
type scene struct {
	dice
	rule  rule
	facts tx.Facts
	kind  string // of the subject token
	idTok bool   // an ID token is issued
}

func draw(d dice) pair {
	s := &scene{dice: d}
	s.drawClient()
	s.drawSubject()
	if s.rule.Mode == delegate {
		s.drawActor()
	}
	s.drawMayAct()
	s.drawChain()
	s.drawKeys()
	s.drawTypes()
	s.drawTargets()
	s.drawScope()
	s.drawLifetimes()
	s.drawLineages()
	s.drawLifts()
	for range s.times(40, 78, 92) {
		factChanges[s.IntN(len(factChanges))](s)
	}
	return s.drawPolicy()
}

// times returns 0, 1, 2 or 3 with the given cumulated chances in a hundred.
func (d dice) times(none, one, two int) int {
	switch n := d.IntN(100); {
	case n < none:
		return 0
	case n < one:
		return 1
	case n < two:
		return 2
	}
	return 3
}

func (s *scene) drawClient() {
	f, r := &s.facts, &s.rule
	r.Name = "main"
	r.Mode = pick(s.dice, narrow, narrow, narrow, narrow, delegate, delegate, delegate, delegate,
		delegate, delegate, delegate, clientActs, clientActs, clientActs, clientActs, clientActs,
		impersonate, impersonate, impersonate, impersonate, impersonate, impersonate)
	f.Issuer, f.Now = own, noon.Add(time.Duration(s.IntN(86400))*time.Second)
	if s.often(50) {
		f.Now = f.Now.Add(time.Duration(pick(s.dice, 1, 500_000_000, 999_999_999)))
	}
	f.Grant = exchange
	if s.often(40) {
		f.Grant = pick(s.dice, refresh, refresh, refresh, refresh, jwtBearer, jwtBearer,
			"subject_ticket", "embedded_token", "act_as")
	}
	f.Client = tx.Client{ID: pick(s.dice, clients...), Audiences: some(s.dice, places[3:], 25)}
	if r.Mode != clientActs && s.often(14) {
		f.Client.Public, r.PublicClients = true, true
	}
	r.Clients = []string{f.Client.ID}
	if s.often(30) {
		r.Clients = shuffled(s.dice, clients)
	}
}

func (s *scene) drawIdentity() tx.Identity {
	id := tx.Identity{Issuer: own, Kind: tx.KindUser, ID: pick(s.dice, users...)}
	switch n := s.IntN(100); {
	case n < 10:
		id.Kind, id.ID = tx.KindClient, pick(s.dice, clients...)
	case n < 20:
		id.Kind, id.ID = tx.KindWorkload, pick(s.dice, workloads...)
	}
	if s.often(40) {
		id.Tenant = pick(s.dice, tenants...)
	}
	return id
}

// pattern returns a pattern that matches an identity, more or less exactly.
func (s *scene) pattern(id tx.Identity) tx.Identity {
	p := id
	if s.often(60) {
		p.ID = "*"
	}
	if s.often(30) {
		p.Kind = "*"
	}
	if s.often(40) {
		p.Tenant = "*"
	}
	if id.Issuer == own && s.often(70) {
		p.Issuer = ""
	} else if s.often(25) {
		p.Issuer = "*"
	}
	return p
}

// patterns returns one that matches among others.
func (s *scene) patterns(id tx.Identity) []tx.Identity {
	list := []tx.Identity{s.pattern(id)}
	if s.often(30) {
		list = shuffled(s.dice, plus(list, s.pattern(s.drawIdentity())))
	}
	return list
}

// The kinds of subject token that a mode can use: any, those without an actor token at the
// exchange, and those without one at another door.
var (
	anyKinds = []string{"access", "access", "access", "access", "access", "access", "id", "id",
		"refresh", "jwt", "foreign jwt", "foreign jwt", "foreign id", "name", "name", "ticket",
		"ticket", "foreign evidence", "by client", "by client"}
	loneKinds = []string{"access", "access", "access", "access", "access", "id", "id", "refresh",
		"jwt", "foreign jwt", "foreign id", "foreign evidence"}
	doorKinds = []string{"access", "access", "access", "id", "refresh", "jwt", "foreign jwt",
		"foreign id", "foreign evidence", "by client", "door evidence", "door evidence"}
)

func (s *scene) drawSubject() {
	f, r := &s.facts, &s.rule
	switch {
	case r.Mode == narrow:
		s.kind = "access"
	case r.Mode == delegate:
		s.kind = pick(s.dice, anyKinds...)
	case f.Grant == exchange:
		s.kind = pick(s.dice, loneKinds...)
	default:
		s.kind = pick(s.dice, doorKinds...)
	}
	id := s.drawIdentity()
	f.Subject.Identity = id
	t := &f.Subject.Token
	*t = s.drawToken(id, s.kind)
	if s.often(30) {
		f.Subject.Tenants = shuffled(s.dice, some(s.dice, plus(tenants[1:], "initech"), 60))
	}
	if s.often(10) {
		f.Subject.Privileges = []string{"support"}
	}
	r.Subjects = s.patterns(id)
	r.SubjectTypes = s.amongTypes(t.Type)
	s.drawPresenting()
	if r.Mode == clientActs && id.Kind == tx.KindClient && id.ID == f.Client.ID {
		r.Self = true
	}
}

// amongTypes returns a list that has the type.
func (s *scene) amongTypes(t tx.TokenType) []tx.TokenType {
	list := []tx.TokenType{t}
	if s.often(35) {
		list = plus(list, pick(s.dice, tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT, ticket))
	}
	return shuffled(s.dice, list)
}

// drawToken draws what a token of the kind says of its own; who may present it comes later.
func (s *scene) drawToken(id tx.Identity, kind string) tx.Token {
	f := &s.facts
	t := tx.Token{ID: fmt.Sprint("token-", s.IntN(1000)), Issuer: own, Subject: id.ID,
		ClientID: f.Client.ID, Expires: s.later()}
	switch kind {
	case "access":
		t.Type = tx.TypeAccessToken
	case "refresh":
		t.Type = tx.TypeRefreshToken
	case "jwt":
		t.Type = tx.TypeJWT
	case "foreign jwt":
		t.Type, t.Issuer, t.ClientID = tx.TypeJWT, pick(s.dice, idp, idp, partner), ""
	case "id":
		t.Type, t.Audience = tx.TypeIDToken, []string{f.Client.ID}
		t.ClientID = pick(s.dice, "", f.Client.ID)
	case "foreign id":
		t.Type, t.Issuer, t.ClientID = tx.TypeIDToken, pick(s.dice, idp, idp, partner), ""
		t.Audience = []string{f.Client.ID}
	case "name":
		t.Type, t.Name, t.ClientID, t.Kind = userID, true, "", tx.KindUser
	case "ticket":
		t.Type, t.ClientID = ticket, pick(s.dice, "", f.Client.ID, f.Client.ID)
	case "door evidence":
		t.Type, t.ClientID = pick(s.dice, evidence...), pick(s.dice, "", f.Client.ID)
		t.Name = s.often(10)
	case "foreign evidence":
		t.Type, t.Issuer, t.ClientID = pick(s.dice, evidence[2:]...), pick(s.dice, idp, partner), ""
	case "by client":
		t.Type, t.ByClient, t.Issuer, t.ClientID = assertion, true, f.Client.ID, ""
	}
	if s.often(8) {
		t.Subject = "pairwise-" + id.ID // the resolver knows another name
	}
	if s.often(60) {
		t.Issued = f.Now.Add(-time.Duration(s.IntN(5000)) * time.Second).Truncate(time.Second)
	}
	if s.often(35) {
		t.AuthTime = f.Now.Add(-time.Duration(s.IntN(9000)) * time.Second).Truncate(time.Second)
		t.ACR, t.AMR = pick(s.dice, "", "loa2"), some(s.dice, []string{"pwd", "otp"}, 40)
	}
	if s.often(5) {
		t.ID = ""
	}
	return t
}

// later returns an expiry, often a near one.
func (s *scene) later() time.Time {
	now := s.facts.Now
	switch s.IntN(10) {
	case 0:
		return now.Truncate(time.Second).Add(time.Duration(2+s.IntN(4)) * time.Second)
	case 1:
		return now.Add(time.Duration(1500+s.IntN(3000)) * time.Millisecond)
	case 2:
		return now.Truncate(time.Second).Add(time.Duration(1+s.IntN(200)) * time.Second)
	case 3:
		return now.AddDate(s.IntN(30), 0, s.IntN(30))
	}
	return now.Truncate(time.Second).Add(time.Duration(60+s.IntN(9000)) * time.Second)
}

// drawPresenting decides why the client may present the subject token.
func (s *scene) drawPresenting() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	switch {
	case t.ByClient || r.Mode == narrow || t.Type == tx.TypeRefreshToken:
	case t.Issuer != own:
		others := some(s.dice, []string{"https://other.example"}, 30)
		r.Issuers = shuffled(s.dice, plus(others, t.Issuer))
	case t.Name:
		r.OtherTokens = f.Grant != refresh || s.often(50)
	case s.often(60) && t.ClientID == f.Client.ID:
	case s.often(45):
		t.ClientID = s.otherClient()
		t.Audience = plus(t.Audience, pick(s.dice, plus(f.Client.Audiences, f.Client.ID)...))
	default:
		t.ClientID, t.Audience = s.otherClient(), nil
		r.OtherTokens = f.Grant != refresh || s.often(50)
	}
	if t.Type == tx.TypeIDToken && len(t.Audience) == 0 {
		t.Audience = []string{t.ClientID}
	}
}

func (s *scene) otherClient() string {
	isClient := func(id string) bool { return id == s.facts.Client.ID }
	return pick(s.dice, without(clients, isClient)...)
}

func (s *scene) drawActor() {
	f, r := &s.facts, &s.rule
	id := s.drawIdentity()
	switch n := s.IntN(100); {
	case n < 25:
		id = tx.Identity{Issuer: own, Kind: tx.KindClient, ID: f.Client.ID}
	case n < 40:
		id.Issuer = idp
	case n < 46 && f.Subject.ID != "" && f.Subject.Kind != "" && f.Subject.Kind != "robot":
		id = f.Subject.Identity
	}
	kind := pick(s.dice,
		"access", "access", "access", "jwt", "id", "id", "foreign jwt", "foreign id")
	if f.Grant != exchange && s.often(30) {
		kind = pick(s.dice, "door evidence", "foreign evidence")
	}
	a := &tx.Subject{Identity: id}
	f.Actor = a
	a.Token = s.drawToken(id, kind)
	t := &a.Token
	t.Audience = nil
	if s.often(15) {
		a.Tenants = some(s.dice, tenants[1:], 60)
	}
	if s.often(30) {
		a.Scope = some(s.dice, words, 70)
	}
	if s.often(60) {
		t.Scope = some(s.dice, words, 80)
	}
	switch {
	case t.Issuer != own:
		if !slices.Contains(r.Issuers, t.Issuer) {
			r.Issuers = plus(r.Issuers, t.Issuer)
		}
	case id.Issuer == own && id.Kind == tx.KindClient && id.ID == f.Client.ID && s.often(40):
		t.ClientID = pick(s.dice, "", s.otherClient())
	case t.Type == tx.TypeIDToken && s.often(50):
		t.ClientID, t.Audience = s.otherClient(), []string{f.Client.ID}
	case s.often(50):
		t.ClientID = f.Client.ID
	default:
		t.ClientID = s.otherClient()
		r.OtherActors = f.Grant != refresh || s.often(50)
	}
	r.Actors, r.ActorTypes = s.patterns(id), s.amongTypes(t.Type)
	r.Self = id == f.Subject.Identity
}

// drawKeys draws the keys that tokens are bound to and those that the client proved.
func (s *scene) drawKeys() {
	f, r := &s.facts, &s.rule
	bound := pick(s.dice, tx.Confirmation{JKT: "k1"}, tx.Confirmation{JKT: "k1"},
		tx.Confirmation{X5T: "x1"}, tx.Confirmation{X5T: "x1"},
		tx.Confirmation{JKT: "k1", X5T: "x1"})
	switch n := s.IntN(100); {
	case n < 12:
		f.Client.Confirmation = bound
	case n < 26:
		f.Subject.Token.Confirmation, f.Client.Confirmation = bound, bound
		if s.often(50) {
			f.Client.Confirmation = tx.Confirmation{JKT: "k1", X5T: "x1"}
		}
	case n < 34 && r.Mode != narrow:
		f.Subject.Token.Confirmation = bound
		f.Client.Confirmation = pick(s.dice, tx.Confirmation{JKT: "k2"}, tx.Confirmation{X5T: "x2"},
			tx.Confirmation{JKT: "k2", X5T: "x1"}, tx.Confirmation{JKT: "k1", X5T: "x2"})
		r.Rebind = true
	}
	if f.Actor != nil && s.often(25) {
		f.Actor.Token.Confirmation = f.Client.Confirmation
	}
}

func (s *scene) drawTypes() {
	f, r := &s.facts, &s.rule
	list := []tx.TokenType{tx.TypeAccessToken, tx.TypeAccessToken, tx.TypeAccessToken, tx.TypeJWT,
		ticket, tx.TypeSAML2}
	if f.Subject.Kind == tx.KindUser && r.Mode != narrow {
		list = plus(list, tx.TypeIDToken, tx.TypeIDToken)
	}
	first := pick(s.dice, list...)
	r.Types = []tx.TokenType{first}
	if s.often(40) {
		r.Types = plus(r.Types, pick(s.dice, list...))
	}
	issued := first
	if s.often(45) {
		issued = pick(s.dice, r.Types...)
		f.Request.RequestedTokenType = issued
	}
	s.idTok = issued == tx.TypeIDToken
}

// drawTargets draws what tokens are for, what the rule allows and what the request asks for.
func (s *scene) drawTargets() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	isOurs := func(t *tx.Token) bool {
		return t.Issuer == own && (t.Type == tx.TypeAccessToken || t.Type == tx.TypeJWT ||
			t.Type == tx.TypeRefreshToken)
	}
	if s.often(65) && t.Type != tx.TypeIDToken || r.Mode == narrow {
		t.Audience = shuffled(s.dice, plus(t.Audience, some(s.dice, places, 45)...))
		if r.Mode == narrow && len(t.Audience) == 0 {
			t.Audience = []string{pick(s.dice, places...)}
		}
		if s.often(2) {
			many := numbered("https://n.example/", 4+s.IntN(30))
			t.Audience = plus(t.Audience, shuffled(s.dice, many)...)
		}
		if s.often(8) {
			t.Audience = plus(t.Audience, t.Audience...)
		}
	}
	if f.Actor != nil && s.often(60) && f.Actor.Token.Type != tx.TypeIDToken {
		f.Actor.Token.Audience = shuffled(s.dice, some(s.dice, places, 45))
	}
	if s.often(65) {
		r.Targets = shuffled(s.dice, some(s.dice, places, 55))
	}
	var allowed []string
	if r.Mode == narrow {
		r.SubjectAudience = len(r.Targets) == 0 || s.often(30)
		if !r.SubjectAudience && s.often(80) {
			r.Targets = plus(r.Targets, pick(s.dice, t.Audience...))
		}
		for _, a := range t.Audience {
			if r.SubjectAudience || slices.Contains(r.Targets, a) {
				allowed = plus(allowed, a)
			}
		}
	} else {
		allowed = slices.Clone(r.Targets)
		if isOurs(t) && s.often(35) {
			r.SubjectAudience = true
			allowed = plus(allowed, t.Audience...)
		}
		if f.Actor != nil && isOurs(&f.Actor.Token) && s.often(45) {
			r.ActorAudience = true
			allowed = plus(allowed, f.Actor.Token.Audience...)
		}
	}
	if len(allowed) == 0 {
		r.Targets = plus(r.Targets, pick(s.dice, places...))
		allowed = r.Targets
	}
	if s.often(3) {
		r.Targets = plus(r.Targets, numbered("https://n.example/", 12)...)
		if r.Mode != narrow {
			allowed = plus(allowed, numbered("https://n.example/", 12)...)
		}
	}
	if s.often(25) {
		r.DefaultTargets = some(s.dice, r.Targets, 60)
	}
	s.ask(allowed)
}

// ask draws the targets of the request.
func (s *scene) ask(allowed []string) {
	f, r := &s.facts, &s.rule
	usesOurs := f.Subject.Token.Issuer == own && len(f.Subject.Token.Audience) > 0
	var wanted []string
	switch {
	case s.idTok && s.often(35):
		wanted = []string{f.Client.ID}
	case s.idTok:
	case (len(r.DefaultTargets) > 0 || usesOurs) && s.often(50):
	default:
		wanted = some(s.dice, allowed, 50)
		if len(wanted) == 0 || s.often(3) {
			wanted = plus(wanted, pick(s.dice, allowed...))
		}
		if s.often(12) {
			wanted = shuffled(s.dice, plus(wanted, wanted...))
		}
	}
	if r.Mode != narrow && len(f.Subject.Tenants) > 0 && s.often(40) {
		r.TenantTargets = true
		wanted = shuffled(s.dice, plus(wanted, pick(s.dice, f.Subject.Tenants...)))
		if s.often(10) {
			wanted = plus(wanted, pick(s.dice, f.Subject.Tenants...))
		}
	}
	for _, w := range wanted {
		if s.often(50) {
			f.Request.Audience = append(f.Request.Audience, w)
		} else {
			f.Request.Resource = append(f.Request.Resource, w)
		}
	}
}

// drawScope draws the scopes of client, subject and rule, and those that the request asks for.
func (s *scene) drawScope() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	pool := words
	switch n := s.IntN(1000); {
	case n < 30:
		pool = plus(words, numbered("s", 6+s.IntN(20))...)
	case n < 34:
		pool = plus(words, numbered("s", 200+s.IntN(30))...)
	}
	list := func() []string {
		l := some(s.dice, pool, 80)
		if s.often(45) {
			l = plus(l, some(s.dice, further, 75)...)
		}
		if s.often(4) {
			l = plus(l, pick(s.dice, never...))
		}
		if s.often(25) {
			l = shuffled(s.dice, l)
		}
		return l
	}
	carries := t.Type == tx.TypeAccessToken || t.Type == tx.TypeJWT || t.Type == tx.TypeRefreshToken
	f.Client.Scope = list()
	if carries && s.often(95) || !carries && s.often(25) {
		if t.Scope = list(); t.Scope == nil {
			t.Scope = tx.Scope{}
		}
	}
	if !carries && s.often(85) || s.often(20) {
		f.Subject.Scope = list()
	}
	r.Scope = []string{"*"}
	if s.often(55) {
		r.Scope = some(s.dice, pool, 75)
	}
	makes := r.Mode != narrow && f.Subject.Kind == tx.KindUser && s.often(50)
	if makes {
		r.IDToken = s.often(80)
		r.RefreshToken = s.often(80)
		r.Scope = plus(r.Scope, some(s.dice, further, 30)...)
	}
	if r.Mode != narrow && s.often(20) {
		r.Expand = some(s.dice, pool[2:], 40)
	}
	if makes && s.often(70) { // nothing is in the way of further tokens
		for _, list := range []*tx.Scope{&f.Client.Scope, &t.Scope, &f.Subject.Scope} {
			if *list != nil {
				*list = shuffled(s.dice, plus(*list, further...))
			}
		}
	}
	if s.often(3) { // scopes that do nothing by themselves
		t.Scope = some(s.dice, plus(never, further...), 40)
	}
	if s.often(40) {
		return
	}
	both := func(scope string) bool {
		token := t.Scope == nil || t.Type == tx.TypeIDToken || slices.Contains(t.Scope, scope)
		resolver := f.Subject.Scope == nil && t.Scope != nil ||
			slices.Contains(f.Subject.Scope, scope)
		subject := token && resolver
		ruled := slices.Contains(r.Scope, "*") || slices.Contains(r.Scope, scope)
		switch scope {
		case "openid":
			ruled = r.IDToken && f.Subject.Kind == tx.KindUser
		case "offline_access":
			ruled = r.RefreshToken && f.Subject.Kind == tx.KindUser && !s.idTok
		}
		return subject && ruled || slices.Contains(r.Expand, scope)
	}
	asked := tx.Scope{}
	for _, scope := range f.Client.Scope {
		if !slices.Contains(never, scope) && both(scope) && s.often(65) {
			asked = append(asked, scope)
		}
	}
	if s.often(10) {
		asked = plus(asked, some(s.dice, asked, 50)...)
	}
	f.Request.Scope = asked
}

func (s *scene) drawLifetimes() {
	f, r := &s.facts, &s.rule
	lifetime := func() span {
		return span{pick(s.dice, time.Second, 1999*time.Millisecond, 2*time.Second, 90*time.Second,
			5*time.Minute, 5*time.Minute, time.Hour, 30*24*time.Hour, longest)}
	}
	r.Lifetime = lifetime()
	if r.Lifetime.Duration < 2*time.Second && s.often(60) {
		r.Lifetime = span{time.Minute}
	}
	if r.RefreshToken {
		r.RefreshLifetime = lifetime()
	}
	if s.often(40) {
		f.Subject.Until = s.later()
	}
	if f.Actor != nil && s.often(30) {
		f.Actor.Until = s.later()
	}
	r.OutliveSubject = s.often(25)
	r.OutliveActor = s.often(25)
	t := &f.Subject.Token
	if r.RefreshToken && s.kind != "access" && s.often(40) { // the grant ends early
		f.Subject.Until = f.Now.Add(time.Duration(s.IntN(4000)-500) * time.Millisecond)
	}
	if f.Grant == refresh && s.often(30) { // the recorded token may be over
		t.Expires = f.Now.Add(-time.Duration(s.IntN(100)) * time.Second)
		if s.often(80) {
			r.OutliveSubject, f.Subject.Until = true, s.later()
		}
	}
}

// drawLineages draws the lineage of tokens that this server made.
func (s *scene) drawLineages() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	switch {
	case t.Issuer == own && !t.Name && s.often(35):
		t.Lineage = s.drawLineage()
		if len(f.Subject.Tenants) > 0 && s.often(30) {
			t.Lineage.Tenant = pick(s.dice, f.Subject.Tenants...)
			id := f.Subject.Identity
			id.Tenant = t.Lineage.Tenant
			r.Subjects = s.patterns(id)
		}
	case t.Issuer != own && s.often(10):
		t.Lineage = &tx.Lineage{Begun: f.Now.Add(-time.Hour)}
	}
	if f.Actor == nil || f.Actor.Token.Issuer != own || s.often(75) {
		return
	}
	f.Actor.Token.Lineage = s.drawLineage()
	if len(f.Actor.Tenants) > 0 && s.often(50) {
		f.Actor.Token.Lineage.Tenant = pick(s.dice, f.Actor.Tenants...)
		id := f.Actor.Identity
		id.Tenant = f.Actor.Token.Lineage.Tenant
		r.Actors = s.patterns(id)
	}
	if s.often(30) {
		f.Actor.Token.Lineage.Lent, r.OtherActors = true, f.Grant != refresh
	}
}

func (s *scene) drawLineage() *tx.Lineage {
	l := &tx.Lineage{}
	if s.often(40) {
		l.Scope = plus(tx.Scope{}, some(s.dice, plus(words, further...), 85)...)
	}
	if s.often(40) {
		l.Ends = s.later()
	}
	if s.often(25) {
		ago := time.Duration(1+s.IntN(9000)) * time.Second
		l.Begun = s.facts.Now.Add(-ago).Truncate(time.Second)
	}
	l.Lent = s.often(10)
	if s.often(25) {
		l.From = some(s.dice, numbered("origin-", 5), 50)
	}
	if s.often(2) {
		l.From = numbered("origin-", 30+s.IntN(3))
	}
	return l
}

// drawLifts adds settings that these facts do not need.
func (s *scene) drawLifts() {
	for _, f := range s.rule.flags() {
		*f.on = *f.on || s.often(10)
	}
	if s.often(12) {
		s.rule.Issuers = plus(s.rule.Issuers, pick(s.dice, idp, idp, own))
	}
}

// drawPolicy puts the rule among others.
func (s *scene) drawPolicy() pair {
	d := s.dice
	if !s.rule.needsNames() && d.often(60) || s.often(3) {
		s.rule.Clients = []string{"*"}
	}
	s.rule.repair()
	main := s.rule
	for range d.times(60, 90, 97) {
		ruleChanges[d.IntN(len(ruleChanges))].change(d, &main)
	}
	if d.often(25) {
		s.switchOff(&main)
	}
	n := 1
	for n < 6 && d.often(60) {
		n++
	}
	rules, at := make([]rule, n), d.IntN(n)
	for i := range rules {
		if i == at {
			rules[i] = main
			continue
		}
		rules[i] = s.drawNeighbour()
	}
	for i := range rules {
		rules[i].repair()
		rules[i].Name = fmt.Sprint("rule-", i+1)
	}
	p := pair{Policy: policy{Rules: rules}, Facts: s.facts}
	switch i := d.IntN(2000); {
	case i < 60:
		contradictions[d.IntN(len(contradictions))](&rules[d.IntN(n)])
		p.contradicts = true
	case i < 64:
		rules[n-1].Name = rules[0].Name // taken, where there are two
		p.contradicts = true
	case i < 68:
		p.Policy.Rules = nil
	case i < 72:
		p.Policy = policy{None: true}
	}
	return p
}

// switchOff switches off one setting that is on.
func (s *scene) switchOff(r *rule) {
	var on []*bool
	for _, f := range r.flags() {
		if *f.on {
			on = append(on, f.on)
		}
	}
	if len(on) > 0 {
		*pick(s.dice, on...) = false
	}
}

// drawNeighbour draws another rule of the policy: one that differs a little or one that is for
// other clients or another mode.
func (s *scene) drawNeighbour() rule {
	d, r := s.dice, s.rule
	for range 1 + d.IntN(2) {
		ruleChanges[d.IntN(len(ruleChanges))].change(d, &r)
	}
	switch d.IntN(5) {
	case 0:
		r.Clients = []string{s.otherClient()}
	case 1:
		r.Clients = []string{"*"}
		r.PublicClients, r.OtherTokens, r.OtherActors, r.Carry = false, false, false, false
		r.Issuers = nil
	case 2:
		r.Mode = pick(d, narrow, delegate, clientActs, impersonate)
	}
	return r
}
