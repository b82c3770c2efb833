package main

import (
	"archive/zip"
	"bytes"
	"os"
	"testing"
	"testing/fstest"
	"time"
)

// Breaks if two builds of one commit give packages that differ, so that nobody can check what was deployed.
func TestPackagesAreReproducible(t *testing.T) {
	at := func(modified time.Time, mode os.FileMode) fstest.MapFS {
		return fstest.MapFS{
			"scopes.json":    {Data: []byte("{}"), Mode: mode, ModTime: modified},
			"bootstrap":      {Data: bytes.Repeat([]byte("binary"), 1000), Mode: mode, ModTime: modified},
			"more/notes.txt": {Data: []byte("notes"), Mode: mode, ModTime: modified},
		}
	}
	first, size, err := pack(at(time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	if size != 6007 || len(first) >= size {
		t.Errorf("%d bytes of files, %d packed", size, len(first))
	}
	second, _, err := pack(at(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC), 0o600))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("times and modes of files are in the package (%v)", err)
	}
	archive, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, file := range archive.File {
		listed = append(listed, file.Mode().String()+" "+file.Name)
	}
	want := []string{"-rwxr-xr-x bootstrap", "-rw-r--r-- more/notes.txt", "-rw-r--r-- scopes.json"}
	if len(listed) != len(want) {
		t.Fatalf("packed %q, want %q", listed, want)
	}
	for i := range want {
		if listed[i] != want[i] {
			t.Errorf("packed %q, want %q", listed[i], want[i])
		}
	}
}

// Breaks if a function is deployed without its binary, which fails only when it is called.
func TestPackageWithoutBinary(t *testing.T) {
	if packed, _, err := pack(fstest.MapFS{"scopes.json": {Data: []byte("{}")}}); err == nil {
		t.Errorf("packed %d bytes without a binary", len(packed))
	}
}
