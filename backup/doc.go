// Package backup decides about backups: what may be restored where, which are
// kept, and what a restore that was cut short does next. It knows no engine; what
// it remembers is two small files in the deployment's directory.
package backup

// Folder is where a deployment's directory has what is remembered of its backups.
const Folder = ".inmanta-docker"
