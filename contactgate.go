// Package contactgate adds the contactgate modules to a Caddy build:
//
//	xcaddy build --with github.com/contactgate/contactgate
package contactgate

import _ "github.com/contactgate/contactgate/caddymodule"
