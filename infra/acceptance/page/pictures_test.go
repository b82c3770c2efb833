//go:build acceptance

package page_test

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

// shown are the pages whose images are in docs/images.
var shown = []string{"list", "new token", "created", "token", "calendar", "audit trail"}

// pictures writes images of the page, on a phone and on a desk, light and dark, if the environment asks for it.
func (r *reader) pictures(name string) {
	r.Helper()
	folder, most := os.Getenv("SCREENSHOTS"), int64(2000) // pixels
	if os.Getenv("UPDATE_SCREENSHOTS") == "1" && slices.Contains(shown, name) {
		folder, most = filepath.Join("..", "..", "..", "docs", "images"), 800 // what people see first
	}
	if folder == "" || !r.script {
		return
	}
	r.must(os.MkdirAll(folder, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{phone, wide} {
			r.look(width, 800, scheme, "screen")
			height := min(max(evaluate[int64](r, "document.documentElement.scrollHeight"), 800), most)
			r.look(width, height, scheme, "screen")
			shot, err := chromedp.Run(r.ctx, chromedp.CaptureScreenshot())
			r.must(err)
			file := filepath.Join(folder, fmt.Sprintf("%s-%d-%s.png", strings.ReplaceAll(name, " ", "-"), width, scheme))
			r.must(os.WriteFile(file, r.smaller(shot), 0o644))
		}
	}
}

// smaller returns an image with the 64 colours that it has most of.
func (r *reader) smaller(raw []byte) []byte {
	r.Helper()
	full, err := png.Decode(bytes.NewReader(raw))
	r.must(err)
	bounds := full.Bounds()
	counts := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	const enough = 64
	var palette color.Palette
	for _, c := range colours[:min(enough, len(colours))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var out bytes.Buffer
	r.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	return out.Bytes()
}
