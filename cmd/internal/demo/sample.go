package demo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// writeSample makes a folder of about 8 MiB: pictures, sound and words, with a few awkward names.
func writeSample(dir string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := 1; i <= 8; i++ {
		name := fmt.Sprintf("pictures/summer %d.png", i)
		if err := writeFile(dir, name, picture(rng, 480, 360)); err != nil {
			return err
		}
	}
	for i := 1; i <= 3; i++ {
		if err := writeFile(dir, fmt.Sprintf("sound/grandmother sings %d.wav", i), tune(rng, 22)); err != nil {
			return err
		}
	}
	for i := 1; i <= 40; i++ {
		if err := writeFile(dir, fmt.Sprintf("letters/19%02d/letter.txt", 40+i), letter(rng, i)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"letters/-begins with a dash.txt":     "names are kept as they are\n",
		"letters/to \u00c5ngstr\u00f6m.txt":   "NFC\n",
		"letters/to A\u030angstro\u0308m.txt": "NFD\n",
		"letters/empty.txt":                   "",
	} {
		if err := writeFile(dir, name, []byte(text)); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(dir, "an empty folder"), 0o755)
}

func writeFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// picture is a sky with the noise of an old film, so that it does not compress to nothing.
func picture(rng *rand.Rand, width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			noise := uint8(rng.UintN(64))
			img.Set(x, y, color.RGBA{noise + uint8(96*x/width), noise + uint8(160*y/height), 160 + noise, 255})
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // writing to memory does not fail
	return b.Bytes()
}

// tune is so many seconds of a slow melody as 16-bit mono WAV at 44.1 kHz.
func tune(rng *rand.Rand, seconds int) []byte {
	const rate = 44100
	samples := make([]int16, seconds*rate)
	pitch := 220.0
	for i := range samples {
		if i%(rate/2) == 0 {
			pitch = 220 * math.Pow(2, float64(rng.IntN(13))/12)
		}
		samples[i] = int16(9000*math.Sin(2*math.Pi*pitch*float64(i)/rate)) + int16(rng.IntN(200))
	}
	var b bytes.Buffer
	bytesOfSound := uint32(2 * len(samples))
	for _, field := range []any{
		[4]byte([]byte("RIFF")), 36 + bytesOfSound, [8]byte([]byte("WAVEfmt ")), uint32(16),
		uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16),
		[4]byte([]byte("data")), bytesOfSound, samples,
	} {
		_ = binary.Write(&b, binary.LittleEndian, field) // fixed-size values into memory
	}
	return b.Bytes()
}

func letter(rng *rand.Rand, n int) []byte {
	words := []string{"dear", "sister", "the", "harvest", "was", "good", "we", "think", "of", "you", "snow", "came", "early", "write", "soon", "our", "boat", "sails", "on", "Sunday"}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Letter %d\n\n", n)
	for range 200 + rng.IntN(400) {
		b.WriteString(words[rng.IntN(len(words))])
		b.WriteByte(' ')
	}
	b.WriteByte('\n')
	return b.Bytes()
}
