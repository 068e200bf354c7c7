package tokenstore

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// The data of a record is a version and then fields. A field is a name of one byte, a length, and
// as many bytes as the length says. Zero values are left out. Issuer and Expires are not in the
// data: the caller knows the issuer, and the record has the expiry.
const dataVersion = 1

// The names of the fields. A name is never used again for another field.
const (
	fieldType     = 't'
	fieldKind     = 'k'
	fieldHash     = 'h' // an ID that is a hash in base64url, as the bytes of the hash
	fieldID       = 'i' // any other ID
	fieldSubject  = 's'
	fieldClient   = 'c'
	fieldAudience = 'a' // a field for each audience
	fieldScope    = 'o'
	fieldActor    = 'A' // JSON
	fieldMayAct   = 'M' // JSON
	fieldIssued   = 'I'
	fieldJKT      = 'J'
	fieldX5T      = 'X'
	fieldAuthTime = 'T'
	fieldACR      = 'C'
	fieldAMR      = 'R' // a field for each method
	fieldLineage  = 'L' // JSON
	fieldGrant    = 'G' // JSON, of a refresh token
)

// types has the short names of the usual token types. Any other type is written in full.
var types = map[tokenexchange.TokenType]string{
	tokenexchange.TypeAccessToken:  "a",
	tokenexchange.TypeRefreshToken: "r",
	tokenexchange.TypeIDToken:      "i",
}

var typesByName = map[string]tokenexchange.TokenType{
	"a": tokenexchange.TypeAccessToken,
	"r": tokenexchange.TypeRefreshToken,
	"i": tokenexchange.TypeIDToken,
}

var errData = errors.New("tokenstore: the record cannot be decoded")

// writer appends fields.
type writer []byte

func (w *writer) field(name byte, value string) {
	if value == "" {
		return
	}
	*w = append(*w, name)
	*w = binary.AppendUvarint(*w, uint64(len(value)))
	*w = append(*w, value...)
}

func (w *writer) time(name byte, t time.Time) {
	if !t.IsZero() {
		w.field(name, string(binary.AppendVarint(nil, t.Unix())))
	}
}

func (w *writer) actor(name byte, a *tokenexchange.Actor) error {
	if a == nil {
		return nil
	}
	text, err := a.MarshalJSON() // json.Marshal would change the bytes of the chain (D12)
	w.field(name, string(text))
	return err
}

// encode returns the data of a token, and of its grant if it is a refresh token. It leaves out
// Claims.
func encode(t tokenexchange.Token, g *grant) ([]byte, error) {
	w := append(make(writer, 0, 192), dataVersion)
	if short, ok := types[t.Type]; ok {
		w.field(fieldType, short)
	} else {
		w.field(fieldType, string(t.Type))
	}
	w.field(fieldKind, string(t.Kind))
	if hash, ok := hashOf(t.ID); ok {
		w.field(fieldHash, hash)
	} else {
		w.field(fieldID, t.ID)
	}
	w.field(fieldSubject, t.Subject)
	w.field(fieldClient, t.ClientID)
	for _, a := range t.Audience {
		w.field(fieldAudience, a)
	}
	if t.Scope != nil {
		w.field(fieldScope, " "+t.Scope.String()) // with the space, an empty scope is a field too
	}
	err := errors.Join(w.actor(fieldActor, t.Actor), w.actor(fieldMayAct, t.MayAct))
	if t.Lineage != nil {
		text, jsonErr := json.Marshal(t.Lineage)
		w.field(fieldLineage, string(text))
		err = errors.Join(err, jsonErr, t.Lineage.Check())
	}
	w.time(fieldIssued, t.Issued)
	w.field(fieldJKT, t.Confirmation.JKT)
	w.field(fieldX5T, t.Confirmation.X5T)
	w.time(fieldAuthTime, t.AuthTime)
	w.field(fieldACR, t.ACR)
	for _, m := range t.AMR {
		w.field(fieldAMR, m)
	}
	if g != nil {
		text, grantErr := g.encode()
		w.field(fieldGrant, string(text))
		err = errors.Join(err, grantErr)
	}
	return w, err
}

// decode is the inverse of encode. The grant is nil if the data has none. An unknown field is an
// error, because it may be a limit of the token.
func decode(issuer string, r Record) (t tokenexchange.Token, g *grant, err error) {
	t.Issuer, t.Expires = issuer, r.Expires
	if len(r.Data) == 0 || r.Data[0] != dataVersion {
		return t, nil, errData
	}
	for data := r.Data[1:]; len(data) > 0; {
		name := data[0]
		length, n := binary.Uvarint(data[1:])
		if n <= 0 || length > uint64(len(data)-1-n) {
			return t, nil, errData
		}
		value := data[1+n : 1+n+int(length)]
		data = data[1+n+int(length):]
		if name == fieldGrant {
			g, err = decodeGrant(value)
		} else {
			err = decodeField(&t, name, value)
		}
		if err != nil {
			return t, nil, errors.Join(errData, err)
		}
	}
	return t, g, nil
}

func decodeField(t *tokenexchange.Token, name byte, value []byte) (err error) {
	switch text := string(value); name {
	case fieldType:
		if t.Type = typesByName[text]; t.Type == "" {
			t.Type = tokenexchange.TokenType(text)
		}
	case fieldKind:
		t.Kind = tokenexchange.Kind(text)
	case fieldHash:
		t.ID = base64.RawURLEncoding.EncodeToString(value)
	case fieldID:
		t.ID = text
	case fieldSubject:
		t.Subject = text
	case fieldClient:
		t.ClientID = text
	case fieldAudience:
		t.Audience = append(t.Audience, text)
	case fieldScope:
		t.Scope, err = tokenexchange.ParseScope(strings.TrimPrefix(text, " "))
	case fieldActor:
		t.Actor = &tokenexchange.Actor{}
		err = t.Actor.UnmarshalJSON(value)
	case fieldMayAct:
		t.MayAct = &tokenexchange.Actor{}
		err = t.MayAct.UnmarshalJSON(value)
	case fieldLineage:
		t.Lineage = &tokenexchange.Lineage{}
		err = t.Lineage.UnmarshalJSON(value)
	case fieldIssued:
		t.Issued, err = decodeTime(value)
	case fieldJKT:
		t.Confirmation.JKT = text
	case fieldX5T:
		t.Confirmation.X5T = text
	case fieldAuthTime:
		t.AuthTime, err = decodeTime(value)
	case fieldACR:
		t.ACR = text
	case fieldAMR:
		t.AMR = append(t.AMR, text)
	default:
		err = errData
	}
	return err
}

func decodeTime(value []byte) (time.Time, error) {
	seconds, n := binary.Varint(value)
	if n != len(value) {
		return time.Time{}, errData
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// hashOf returns the bytes of an ID that is a hash in base64url.
func hashOf(id string) (hash string, ok bool) {
	if len(id) != hashLength {
		return "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return string(raw), err == nil
}
