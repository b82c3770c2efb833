// Package deployment holds no code. Its test runs `make deploy` without its builds: SAM CLI with the answers of
// samconfig.toml, against something that stands for S3, CloudFormation and API Gateway of an AWS account.
package deployment
