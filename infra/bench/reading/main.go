// Command reading is the authorizer as it would be if it read the pepper at its start: it makes one signed request
// like that for GetSecretValue, by TLS and with nothing of an SDK but the signature, and then starts as usual. It shows
// what the read costs that the authorizer does without.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"latchkey/pkg/compose/authorizer"
)

func main() {
	pepper, err := read(context.Background(), os.Getenv("SECRET_URL"))
	if err == nil {
		err = os.Setenv("PEPPER", pepper)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reading:", err)
		os.Exit(1)
	}
	authorizer.Main()
}

func read(ctx context.Context, url string) (string, error) {
	body := []byte(`{"SecretId":"pepper"}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	hash := sha256.Sum256(body)
	who := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if err := v4.NewSigner().SignHTTP(ctx, who, request, hex.EncodeToString(hash[:]), "secretsmanager", os.Getenv("AWS_REGION"), time.Now()); err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	reply, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = reply.Body.Close() }()
	var secret struct{ SecretString string }
	err = json.NewDecoder(reply.Body).Decode(&secret)
	return secret.SecretString, err
}
