//go:build tools

// Package engine pins the Pulumi engine and everything it is built from, for machines that cannot download it.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
