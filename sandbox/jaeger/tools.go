//go:build tools

// Package jaeger pins the all-in-one command of Jaeger, which keeps its traces in memory.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
