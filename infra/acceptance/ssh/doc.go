// Package ssh holds no code. Its tests log in to a real sshd with tokens as passwords, and let Git clone and
// push through it. They need root: they make accounts and a PAM service, and remove both.
package ssh
