// A daprd with three bindings only, for tests: kafka, http, cron. Its name resolver resolves nothing, so that nothing is multicast.
package main

import (
	"context"
	"errors"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/bindings/cron"
	"github.com/dapr/components-contrib/bindings/http"
	"github.com/dapr/components-contrib/bindings/kafka"
	"github.com/dapr/components-contrib/nameresolution"
	bindingsLoader "github.com/dapr/dapr/pkg/components/bindings"
	nrLoader "github.com/dapr/dapr/pkg/components/nameresolution"
	"github.com/dapr/kit/logger"
)

type resolver struct{}

func (resolver) Init(context.Context, nameresolution.Metadata) error { return nil }
func (resolver) ResolveID(context.Context, nameresolution.ResolveRequest) (string, error) {
	return "", errors.New("no name is resolved here")
}
func (resolver) Close() error { return nil }

func main() {
	nrLoader.DefaultRegistry.RegisterComponent(func(logger.Logger) nameresolution.Resolver { return resolver{} }, "mdns")
	bindingsLoader.DefaultRegistry.RegisterInputBinding(func(l logger.Logger) bindings.InputBinding { return kafka.NewKafka(l) }, "kafka")
	bindingsLoader.DefaultRegistry.RegisterInputBinding(cron.NewCron, "cron")
	bindingsLoader.DefaultRegistry.RegisterOutputBinding(http.NewHTTP, "http")
	Run()
}
