package main

import "testing"

// TestExamplesAsTheyRun builds every example and holds it to its promises in the runtime it is made for.
func TestExamplesAsTheyRun(t *testing.T) {
	t.Parallel()
	for dir, flags := range map[string][]string{
		"fastest-first": nil, "night-repair": nil, "institution": {"--process"},
	} {
		t.Run(dir, func(t *testing.T) {
			source := built(t, "../../examples/"+dir, flags...)
			if flags != nil {
				source = execPrefix + source
			}
			code, stdout, stderr := tes(t, "--json", "policy", "test", source, "--questions", "10")
			if failed, problems := tried(t, stdout); code != 0 || failed > 0 {
				t.Errorf("exit %d: %s%s", code, problems, stderr)
			}
		})
	}
}
