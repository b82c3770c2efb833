package jwt

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var (
	oldSecret = strings.Repeat("o", MinSecretLength)
	newSecret = strings.Repeat("n", MinSecretLength)
)

func keysOf(t *testing.T, secrets ...string) *Keys {
	t.Helper()
	keys, err := NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Breaks if two instances, or two versions, of the function sign with different keys: a registry knows the
// bundle that it was given once.
func TestKeysFollowFromTheirSecrets(t *testing.T) {
	keys, again := keysOf(t, oldSecret, newSecret), keysOf(t, oldSecret, newSecret)
	if !bytes.Equal(keys.Bundle(), again.Bundle()) {
		t.Error("the same secrets make other certificates")
	}
	const id = "4XF6:UOCD:SOPK:UWKA:AMAA:F7Q7:QRB2:L4JI:GZ24:VP6B:VQPS:XL5C"
	if got := keys.keys[0].id; got != id {
		t.Errorf("the key id of a fixed secret is %s, not %s", got, id)
	}
	if keys.keys[0].id == keys.keys[1].id {
		t.Error("two secrets make one key")
	}
}

// Breaks if a registry refuses what the function signs: by its certificate, or by its key id.
func TestSignaturesAreTrustedInBothWays(t *testing.T) {
	keys := keysOf(t, newSecret, oldSecret)
	signed, err := keys.sign([]byte(`{"sub":"robin"}`))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(keys.Bundle()) {
		t.Fatal("the bundle holds no certificate")
	}
	header := parsed.Signatures[0].Header
	chains, err := header.Certificates(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := parsed.Verify(chains[0][0].PublicKey); err != nil || string(payload) != `{"sub":"robin"}` {
		t.Errorf("by the certificate: %q, %v", payload, err)
	}

	encoded, err := json.Marshal(keys.Set())
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(encoded, &set); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(encoded), `"d":`) {
		t.Error("the set holds a private key")
	}
	if len(set.Keys) != 2 || len(set.Key(header.KeyID)) != 1 || header.KeyID != set.Keys[0].KeyID {
		t.Fatalf("the set has %d keys, %d with the id of the signature", len(set.Keys), len(set.Key(header.KeyID)))
	}
	if payload, err := parsed.Verify(set.Key(header.KeyID)[0]); err != nil || string(payload) != `{"sub":"robin"}` {
		t.Errorf("by the key id: %q, %v", payload, err)
	}
	if _, err := parsed.Verify(set.Keys[1]); err == nil {
		t.Error("the other key has signed it, too")
	}
}

// Breaks if a registry whose bundle comes from an earlier version of Go refuses the certificate of today.
func TestAnotherRootOfTheKeyIsTrusted(t *testing.T) {
	made := keysOf(t, newSecret).keys[0]
	other := made
	if err := other.certify(sha256.Sum256([]byte("other serial numbers"))); err != nil || bytes.Equal(other.root.Raw, made.root.Raw) {
		t.Fatalf("no other root: %v", err)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	options.Roots.AddCert(other.root)
	if _, err := made.leaf.Verify(options); err != nil {
		t.Error(err)
	}
	stranger := keysOf(t, rand.Text()+rand.Text()).keys[0]
	for _, certificate := range []*x509.Certificate{stranger.leaf, stranger.root} {
		if _, err := certificate.Verify(options); err == nil {
			t.Error("the certificate of a strange key is trusted")
		}
	}
}

// Breaks if a rotation makes a registry refuse a key before or after its time.
func TestEveryKeyIsPublished(t *testing.T) {
	bundle := keysOf(t, newSecret, oldSecret).Bundle()
	count := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		count++
	}
	if count != 2 || !bytes.Contains(bundle, keysOf(t, oldSecret).Bundle()) {
		t.Errorf("%d certificates in %s", count, bundle)
	}
}

// Breaks if the steps of docs/registry.md, "Keys", refuse a request: a registry has to know a key before it signs, and
// as long as something that it has signed is good.
func TestRotation(t *testing.T) {
	for _, step := range []struct {
		name           string
		signing, known []string
		trusted        bool
	}{
		{"before", []string{oldSecret}, []string{oldSecret}, true},
		{"the new key is deployed", []string{oldSecret, newSecret}, []string{oldSecret}, true},
		{"the registry has both", []string{oldSecret, newSecret}, []string{oldSecret, newSecret}, true},
		{"the new key signs", []string{newSecret, oldSecret}, []string{oldSecret, newSecret}, true},
		{"the old key is gone", []string{newSecret}, []string{oldSecret, newSecret}, true},
		{"the registry has forgotten it", []string{newSecret}, []string{newSecret}, true},
		{"a key that nobody was told of", []string{newSecret}, []string{oldSecret}, false},
		{"a key that is known to somebody else", []string{oldSecret}, []string{newSecret}, false},
	} {
		signed, err := keysOf(t, step.signing...).sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		known := keysOf(t, step.known...)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(known.Bundle())
		_, err = parsed.Signatures[0].Header.Certificates(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if set := known.Set(); (err == nil) != step.trusted || (len(set.Key(parsed.Signatures[0].Header.KeyID)) == 1) != step.trusted {
			t.Errorf("%s: by the certificate %v, by the key id %d keys", step.name, err, len(set.Key(parsed.Signatures[0].Header.KeyID)))
		}
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	for _, secrets := range [][]string{nil, {""}, {newSecret[1:]}, {newSecret, "short"}} {
		if _, err := NewKeys(secrets...); err == nil || len(secrets) > 0 && secrets[0] != "" && strings.Contains(err.Error(), secrets[0]) {
			t.Errorf("%d secrets: %v", len(secrets), err)
		}
	}
}

// Breaks if a key gets into a log.
func TestKeysPrintAPlaceholder(t *testing.T) {
	keys := keysOf(t, newSecret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if text := fmt.Sprintf(verb, keys); strings.Contains(text, "nnnn") || strings.Contains(text, keys.keys[0].private.D.String()) { //nolint:staticcheck // SA1019: only to look for it
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
