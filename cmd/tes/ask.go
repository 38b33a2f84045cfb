package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tesseras/tesseras/host/localapi"
)

var errDeclined = errors.New("nothing was done")

// confirm asks a yes-or-no question. Where nobody is there to answer, it is an error unless --yes was
// given.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	if !a.stdinTerminal || !a.stderrTerminal {
		return localapi.Fail(localapi.CodeUsage, "add --yes if you are sure", errors.New("this asks for a confirmation, and nobody is there to give it"))
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	reply := make(chan string, 1)
	go func() { // ends with the program: a read from a terminal cannot be interrupted
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		reply <- line
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-reply:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return errDeclined
	}
}
