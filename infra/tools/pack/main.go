// Command pack makes the package of each function from the folder that holds its binary: build/issue
// becomes build/issue.zip. The same files give the same bytes wherever and whenever they are packed,
// because a package names no time, no owner and no order of its own. It prints the sizes and the
// SHA-256 of each package.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	if err := packAll(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func packAll(folders []string) error {
	fmt.Printf("%-12s %11s %11s  %s\n", "function", "files", "package", "SHA-256")
	total := 0
	for _, folder := range folders {
		packed, size, err := pack(os.DirFS(folder))
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		if err := os.WriteFile(filepath.Clean(folder)+".zip", packed, 0o644); err != nil {
			return err
		}
		total += len(packed)
		fmt.Printf("%-12s %11d %11d  %x\n", filepath.Base(folder), size, len(packed), sha256.Sum256(packed))
	}
	fmt.Printf("%-12s %11s %11d\n", "all", "", total)
	return nil
}

// binary is the file that Lambda runs. The others are read, such as an operator's scopes.
const binary = "bootstrap"

// pack returns a zip of all files in a folder, and the size of the files.
func pack(folder fs.FS) (packed []byte, size int, err error) {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	found := false
	err = fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error { // in lexical order
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, path)
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: path, Method: zip.Deflate}
		header.SetMode(0o644)
		if path == binary {
			found = true
			header.SetMode(0o755)
		}
		w, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		size += len(content)
		_, err = w.Write(content)
		return err
	})
	if err == nil && !found {
		err = errors.New("no " + binary + "; run `make build`")
	}
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, 0, err
	}
	return b.Bytes(), size, nil
}
