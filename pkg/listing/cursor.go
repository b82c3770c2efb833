package listing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

const (
	// MaxCursor is the length of the longest cursor, in bytes. The longest place has a name of 255
	// characters in it.
	MaxCursor = 2000
	// sumSize is the size of the checksum in a cursor, in bytes.
	sumSize = 9
)

// cursors are the base64url alphabet, so that a cursor needs no escapes in a query.
var cursors = base64.RawURLEncoding

// Cursor returns the text by which a client names a place. The texts of list say which list it belongs
// to: path, filters and order.
//
// A checksum tells edited and foreign cursors from those of this list. It has no key, because a place that
// somebody makes up leads only to entries that the same caller could list anyway.
func Cursor(place string, list ...string) string {
	return cursors.EncodeToString(append(sum(place, list), place...))
}

// PlaceOf returns the place that a cursor of the same list names. Errors: ErrCursor.
func PlaceOf(cursor string, list ...string) (string, error) {
	if len(cursor) > MaxCursor {
		return "", ErrCursor
	}
	raw, err := cursors.DecodeString(cursor)
	if err != nil || len(raw) <= sumSize {
		return "", ErrCursor
	}
	place := string(raw[sumSize:])
	if Cursor(place, list...) != cursor { // another checksum, or another spelling: a decoder passes over line breaks
		return "", ErrCursor
	}
	return place, nil
}

// sum returns the checksum of a place in a list.
func sum(place string, list []string) []byte {
	var text []byte
	for _, part := range append([]string{place}, list...) {
		text = binary.AppendUvarint(text, uint64(len(part))) // so that parts cannot run into each other
		text = append(text, part...)
	}
	digest := sha256.Sum256(text)
	return digest[:sumSize]
}
