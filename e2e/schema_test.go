package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// decoded is printed JSON, which must be what the verb's schema says.
func decoded[T any](t *testing.T, schema, text string) T {
	t.Helper()
	var value T
	compiled, err := jsonschema.NewCompiler().Compile("../docs/reference/" + schema + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = compiled.Validate(document)
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &value)
	}
	if err != nil {
		t.Fatalf("what is printed is not what %s.schema.json says: %v\n%s", schema, err, text)
	}
	return value
}
