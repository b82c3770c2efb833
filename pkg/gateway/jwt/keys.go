package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4" // signs, and writes sets of keys as registries read them; below go-oidc anyway
)

// MinSecretLength is the length of the shortest secret of a key, in bytes.
const MinSecretLength = 32

// Keys are the keys that sign JWTs, on the curve P-256. They are safe for concurrent use. Their text in a
// log is a placeholder.
type Keys struct{ keys []key } // the first one signs

type key struct {
	id         string
	private    *ecdsa.PrivateKey
	root, leaf *x509.Certificate
}

// NewKeys makes a key of each secret. The first key signs; all are published, so that a registry knows a
// key before and after its time. Everything about a key follows from its secret: no instance has to tell
// another about it.
func NewKeys(secrets ...string) (*Keys, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no signing key")
	}
	keys := &Keys{}
	for _, secret := range secrets {
		if len(secret) < MinSecretLength {
			return nil, fmt.Errorf("secret of a signing key of fewer than %d bytes", MinSecretLength)
		}
		made, err := newKey(secret)
		if err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
		keys.keys = append(keys.keys, made)
	}
	return keys, nil
}

func newKey(secret string) (key, error) {
	private, err := privateKey(secret)
	if err != nil {
		return key{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return key{}, err
	}
	made := key{id: fingerprint(public), private: private}
	return made, made.certify(sha256.Sum256(public))
}

// privateKey makes a private key of a secret: 128 bits more than the order of the curve has, so that the
// remainder has no bias (FIPS 186-5, A.2.1).
func privateKey(secret string) (*ecdsa.PrivateKey, error) {
	const length = 48
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, "latchkey registry signing key", length)
	if err != nil {
		return nil, err
	}
	curve, one := elliptic.P256(), big.NewInt(1)
	scalar := new(big.Int).SetBytes(seed)
	scalar.Mod(scalar, new(big.Int).Sub(curve.Params().N, one)).Add(scalar, one)
	return ecdsa.ParseRawPrivateKey(curve, scalar.FillBytes(make([]byte, curve.Params().BitSize/8)))
}

// fingerprint returns the key id that registry 2.8 (libtrust) computes for a public key: 240 bits of a
// hash in base 32, twelve groups with colons between them. To registry 3.x any id is as good.
func fingerprint(public []byte) string {
	const bits, group = 240, 4
	sum := sha256.Sum256(public)
	text := base32.StdEncoding.EncodeToString(sum[:bits/8])
	groups := make([]string, 0, len(text)/group)
	for ; text != ""; text = text[group:] {
		groups = append(groups, text[:group])
	}
	return strings.Join(groups, ":")
}

// certify makes the certificates of the key, which are nothing but forms in which registries take a key:
// a root for their bundles, and one that it signs for the header of a JWT. A root in the header would have to
// be the very one of the bundle, byte by byte, but an update of Go may change it. The certificates never
// expire (RFC 5280 section 4.1.2.5); a key ends when a registry forgets it.
func (k *key) certify(sum [sha256.Size]byte) (err error) {
	const serialLength = 8
	template := x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(sum[:serialLength]),
		Subject:      pkix.Name{CommonName: k.id},
		NotBefore:    time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	if k.root, err = k.signed(&template, &template); err != nil {
		return err
	}
	template.SerialNumber = new(big.Int).SetBytes(sum[serialLength : 2*serialLength])
	template.Subject = pkix.Name{CommonName: "Latchkey registry tokens"}
	template.KeyUsage, template.IsCA, template.MaxPathLenZero = x509.KeyUsageDigitalSignature, false, false
	k.leaf, err = k.signed(&template, k.root)
	return err
}

// signed returns a certificate of the key that the key itself has signed. Without randomness the signature is
// deterministic (RFC 6979), so that all instances publish the same.
func (k *key) signed(template, parent *x509.Certificate) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(nil, template, parent, &k.private.PublicKey, k.private)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// sign returns a JWT with claims. It names its key in both ways: registry 2.8 and 3.x look at the
// certificate first, and others at the key id.
func (k *Keys) sign(claims []byte) (string, error) {
	first := k.keys[0]
	options := (&jose.SignerOptions{}).WithType("JWT").
		WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(first.leaf.Raw)})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: first.private, KeyID: first.id}}, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Set returns the public keys as a JWK Set (RFC 7517 section 5).
func (k *Keys) Set() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range k.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key: &key.private.PublicKey, KeyID: key.id, Algorithm: string(jose.ES256), Use: "sig", Certificates: []*x509.Certificate{key.leaf, key.root},
		})
	}
	return set
}

// Bundle returns the certificates in PEM, for a registry's rootcertbundle.
func (k *Keys) Bundle() []byte {
	var bundle []byte
	for _, key := range k.keys {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: key.root.Raw})...)
	}
	return bundle
}

// String keeps the keys out of logs, whatever the verb.
func (*Keys) String() string { return "signing keys" }

// GoString does the same for %#v.
func (k *Keys) GoString() string { return k.String() }
