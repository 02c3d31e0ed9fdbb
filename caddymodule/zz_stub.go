package caddymodule

import (
	"errors"

	"github.com/spf13/cobra"
)

// demoCommand is a stub, to be deleted with demo.go.
func demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Hidden: true, RunE: func(*cobra.Command, []string) error { return errors.New("not built yet") }}
}
