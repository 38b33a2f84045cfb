package localapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// minPrefix is how much of an id a person has to type.
const minPrefix = 4

// resolve finds the tessera that text means: a whole id, known or not, or a unique prefix of a known one.
func resolve(ctx context.Context, t Tesseras, text string) (sdk.TesseraID, error) {
	text = strings.ToLower(text)
	if id, err := sdk.ParseTesseraID(text); err == nil {
		return id, nil
	}
	if strings.Trim(text, "0123456789abcdef") != "" || len(text) < minPrefix || len(text) > 2*sdk.IDSize {
		return sdk.TesseraID{}, Fail(CodeUsage, fmt.Sprintf("an id is 64 hexadecimal digits, or the first %d or more of them", minPrefix),
			fmt.Errorf("%.80q is not an id", text))
	}
	known, err := t.Known(ctx)
	if err != nil {
		return sdk.TesseraID{}, err
	}
	var found []sdk.TesseraID
	for _, id := range known {
		if strings.HasPrefix(id.String(), text) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return sdk.TesseraID{}, Fail(CodeNotFound, "tes list shows what is here; of a tessera elsewhere give the whole id",
			fmt.Errorf("%s: no such tessera", text))
	case 1:
		return found[0], nil
	}
	return sdk.TesseraID{}, Fail(CodeUsage, fmt.Sprintf("give more digits: %s and %s begin with it", found[0], found[1]),
		fmt.Errorf("%s: the id of %d tesseras", text, len(found)))
}
