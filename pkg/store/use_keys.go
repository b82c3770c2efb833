package store

import (
	"encoding/base64"

	"latchkey/pkg/secret"
)

// Use of an idempotency key: IDEMPOTENCY#<handle> / USE

func useKey(handle string) key { return keyOf("IDEMPOTENCY#"+handle, "USE") }

func useItem(u secret.Use) item {
	it := useKey(u.Handle)
	it["fingerprint"] = text(u.Fingerprint)
	it["nonce"] = text(base64.RawURLEncoding.EncodeToString(u.Nonce[:]))
	it["prefix"] = text(u.Prefix)
	it["owner"] = number(u.Owner)
	it["at"] = epoch(u.At)
	it["delete_after"] = epoch(u.At.Add(secret.UseLife))
	return it
}

func readUse(it item, handle string) (secret.Use, error) {
	r := attributes{item: it}
	u := secret.Use{
		Handle:      handle,
		Fingerprint: r.text("fingerprint"),
		Prefix:      r.text("prefix"),
		Owner:       r.number("owner"),
		At:          r.instant("at"),
	}
	nonce, err := base64.RawURLEncoding.DecodeString(r.text("nonce"))
	if err != nil || len(nonce) != secret.NonceLength {
		r.fault("nonce")
		return u, r.err
	}
	u.Nonce = secret.Nonce(nonce)
	return u, r.err
}
