package initrecord

// Code is the init sidecar's exit code: one for each way in which it fails.
type Code int

// The exit codes. Their sentences are in docs/sidecars/init.md.
const (
	CodeDone       Code = 0
	CodeUnexpected Code = 1

	CodeSettings     Code = 10
	CodeOrchestrator Code = 11
	CodeLocked       Code = 12
	CodeDiskFull     Code = 13

	CodeRepository  Code = 20
	CodeBranch      Code = 21
	CodeCredentials Code = 22
	CodeHostName    Code = 23
	CodeUnreachable Code = 24
	CodeCertificate Code = 25
	CodeHostKey     Code = 26

	CodeResolution Code = 30
	CodeWheel      Code = 31
	CodeConstraint Code = 32
	CodeIndex      Code = 33
	CodeInstall    Code = 34

	CodeTestsFailed Code = 40
	CodeNoTests     Code = 41
	CodeCollection  Code = 42
	CodeUsage       Code = 43
	CodePytest      Code = 44

	// CodeStopped is what a program that SIGTERM ended has.
	CodeStopped Code = 143
)
