package codeserver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// firstSettings are the user's settings until there are any: nothing is reported
// or looked for on the network, and nothing but the environments is opened.
const firstSettings = `{
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "workbench.enableExperiments": false,
  "workbench.settings.enableNaturalLanguageSearch": false,
  "workbench.startupEditor": "none",
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "chat.disableAIFeatures": true
}
`

// writeFirstSettings gives the account settings where it has none. From then on
// they are the user's own.
func writeFirstSettings(home string) error {
	file := filepath.Join(home, ".local/share/code-server/User/settings.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	written, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = written.WriteString(firstSettings)
	return errors.Join(err, written.Close())
}
