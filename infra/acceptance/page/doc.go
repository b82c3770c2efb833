// Package page holds no code. Its tests use the pages as people do: in Chromium, with and without a script, with
// a mouse and with the keyboard alone. They start all of Latchkey as `make run` does, with its development
// identity provider. Every page that they come to is judged by axe-core and html-validate.
//
// With UPDATE_SCREENSHOTS=1 they also write the images of docs/images. SCREENSHOTS names a folder for images of
// every page.
package page
