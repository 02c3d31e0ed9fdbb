package caddymodule

import (
	"errors"

	"github.com/spf13/cobra"
)

// Stub, to be deleted with demo.go.

func demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Hidden: true, RunE: func(*cobra.Command, []string) error {
		return errors.New("stub")
	}}
}
