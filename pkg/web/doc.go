// Package web is the page on which people manage their tokens in a browser.
package web
