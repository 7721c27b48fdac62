// Package inmantadocker holds the compose files of the deployment, as they
// stand at the root of this repository.
package inmantadocker

import "embed"

// Files are the compose files and the licence folder's page, by their path in the repository.
//
//go:embed docker-compose*.yml license/README.md
var Files embed.FS
