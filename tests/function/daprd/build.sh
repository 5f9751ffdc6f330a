#!/bin/sh
# Builds a real daprd 1.14.0 with the bindings of main.go alone, outside the repository: the whole one takes a gigabyte.
#
#   sh tests/function/daprd/build.sh FOLDER && PATH=FOLDER:$PATH npm test -- function/dapr
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?a folder for the result}" && cd "$1"
export GOFLAGS=-mod=mod
printf 'module earshot-daprd\n\ngo 1.22.6\n' > go.mod
dapr=$(go mod download -json github.com/dapr/dapr@v1.14.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
{
  printf 'module earshot-daprd\n\ngo 1.22.6\n\nrequire github.com/dapr/dapr v1.14.0\n\n'
  sed -n '/^require/,$p' "$dapr/go.mod" | sed 's#components-contrib v1.14.0-rc.6#components-contrib v1.14.0#'
} > go.mod
cp "$dapr/go.sum" go.sum
chmod u+w go.sum
cp "$here/main.go" main.go
sed -e 's/^package app/package main/' -e '/Register all components/d' -e '/cmd\/daprd\/components"/d' "$dapr/cmd/daprd/app/app.go" > app.go
go build -p 2 -o daprd .
