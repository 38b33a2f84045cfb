package tessera

import (
	"bytes"
	_ "embed" // for the text
	"fmt"
	"strings"
)

//go:embed HOW-TO-DECODE.txt
var howToDecode string

// HowToDecode is the text that lies beside exported files and says how to read the documents.
func HowToDecode() string { return howToDecode }

// The folder of the documents beside exported files, and the name of the text in it.
const (
	documentsFolder = "_tessera"
	howToName       = "HOW-TO-DECODE.txt"
)

// documents writes the folder of documents.
func (t *tree) documents() error {
	folder := documentsName(t.manifest.Entries)
	if err := taken(t.root.Mkdir(folder, 0o777)); err != nil {
		return atFile(folder, err)
	}
	if err := t.open(folder); err != nil {
		return atFile(folder, err)
	}
	all := append(t.manifest.documents(), namedDocument{howToName, []byte(howToDecode)})
	for _, d := range all {
		if err := create(t.here(), d.name, bytes.NewReader(d.content)); err != nil {
			return atFile(joinPath(folder, d.name), err)
		}
	}
	return nil
}

// documentsName is _tessera, or the first of _tessera-1, _tessera-2 ... that no entry of the top has,
// also not in another case.
func documentsName(list FileList) string {
	taken := map[string]bool{}
	for _, e := range list {
		top, _, _ := strings.Cut(e.Path, "/")
		if len(top) >= len(documentsFolder) && strings.EqualFold(top[:len(documentsFolder)], documentsFolder) {
			taken[strings.ToLower(top)] = true
		}
	}
	name := documentsFolder
	for i := 1; taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", documentsFolder, i)
	}
	return name
}
