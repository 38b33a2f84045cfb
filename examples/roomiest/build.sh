#!/usr/bin/env bash
# Builds roomiest.wasm (or the file named as argument) from the AssemblyScript in this folder. The compiler
# comes from npm, at the versions and checksums of package-lock.json, into node_modules here.
set -euo pipefail
out=$(realpath -m "${1:-$(dirname "$0")/roomiest.wasm}")
cd "$(dirname "$0")"

if ! command -v npm >/dev/null && [ -n "${CI:-}" ]; then
	apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm
fi
if ! command -v npm >/dev/null; then
	echo "npm is missing: install Node.js (Debian: apt-get install nodejs npm)" >&2
	exit 1
fi
if [ ! -x node_modules/.bin/asc ]; then
	npm ci --no-audit --no-fund --silent
fi
npm run --silent build -- --outFile "$out"
