package wasm
import ("testing";"time";"fmt")
func TestZZ(t *testing.T) {
	p := loadDefault(t)
	small, large := placeRequest(t, 24, 24), placeRequest(t, 72, 200)
	best := map[string]time.Duration{}
	note := func(k string, f func()) { s := time.Now(); f(); d := time.Since(s); if b, ok := best[k]; !ok || d < b { best[k] = d } }
	for range 60 {
		var i *instance
		var err error
		note("new", func() { i, err = p.newInstance(t.Context()) })
		if err != nil { t.Fatal(err) }
		note("describe", func() { i.tell(t.Context(), exportDescribe) })
		note("small1", func() { i.ask(t.Context(), exportPlace, small) })
		note("small2", func() { i.ask(t.Context(), exportPlace, small) })
		i.close()
		i, _ = p.newInstance(t.Context())
		note("large1", func() { i.ask(t.Context(), exportPlace, large) })
		note("large2", func() { i.ask(t.Context(), exportPlace, large) })
		note("close", i.close)
	}
	fmt.Println(best, len(large))
}
