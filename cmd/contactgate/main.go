// Command contactgate is Caddy with its standard modules and contactgate.
package main

import (
	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/contactgate/contactgate/caddymodule"
)

func main() {
	caddy.CustomBinaryName = "contactgate"
	caddycmd.Main()
}
