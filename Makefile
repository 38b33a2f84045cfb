# Everything here also works as the plain command it stands for; a fresh machine needs only Go.

TOOLS := host/internal/tools

.PHONY: test race race-all check generate bench nightly demo build

build: ## bin/tes and bin/tesd
	go build -trimpath -o bin/ ./cmd/tes ./cmd/tesd

test: ## the tests, as README says
	go test ./...

race: ## the packages that share memory between goroutines
	go test -race $$(.ci/race-packages)

race-all: ## the tests of whole networks as well; they may miss deadlines on a small machine
	go test -race -timeout 30m ./...

check: ## what CI says about the text of the code
	go vet ./...
	go build -C $(TOOLS) -o $(CURDIR)/bin/ honnef.co/go/tools/cmd/staticcheck mvdan.cc/gofumpt
	bin/staticcheck ./...
	@out=$$(bin/gofumpt -l cmd configs examples host plugins sdk); test -z "$$out" || { echo "gofumpt would change:"; echo "$$out"; exit 1; }

generate: ## write the generated code again
	go generate ./...

bench: ## our steps beside the raw parts, in one run
	go run ./host/internal/bench

nightly: ## longer sizes of the same tests
	TESSERAS_SIZES=nightly go test -timeout 6h ./...

demo: ## the main job, on this computer
	go run ./cmd/tes demo
