package demo

import (
	"errors"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
)

func TestAChildsWordsArePassedOnAsAPersonReadsThem(t *testing.T) {
	n, cause := &node{name: "owner"}, errors.New("exit status 13")
	for said, want := range map[string]string{
		`{"error":"publish: below the durability","code":13,"hint":"tes peers shows whom it has found"}` + "\n": "tes: owner: publish: below the durability\nhint: tes peers shows whom it has found\n",
		"panic: gone\n": "tes: owner: tes publish: panic: gone\n",
	} {
		err := n.failed("publish", []byte(said), cause)
		if got := localapi.ErrorText("tes", err); got != want || !errors.Is(err, cause) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
