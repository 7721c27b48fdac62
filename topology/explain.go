package topology

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/settings"
)

// Hidden stands where a secret's value would.
const Hidden = "[hidden]"

// Use is one variable that a value was made with.
type Use struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Place is where the value came from, in words: "/srv/inmanta/.env:3",
	// "the shell's INMANTA_NAME", "default".
	Place string `json:"place"`
}

// Origin is one place in a compose file that sets a value.
type Origin struct {
	// File and Line are where the value stands.
	File string `json:"file"`
	Line int    `json:"line"`
	// Text is the value as written there, before variables are filled in.
	Text string `json:"text"`
	// Variables are those that Text mentions.
	Variables []Use `json:"variables"`
}

// Explanation is where a setting or a value of the composed project comes from.
type Explanation struct {
	// Subject is what was asked: a setting's name or a path such as services.server.ports.
	Subject string `json:"subject"`
	// Value is what it is worth; YAML where it is more than a word.
	Value string `json:"value"`
	// Place is where a setting's value came from; empty for a path.
	Place string `json:"place,omitempty"`
	// Description is a setting's, from the README's table.
	Description string `json:"description,omitempty"`
	// Origins are the places in the files: for a path those that set it, the
	// deciding one last; for a setting those that use it.
	Origins []Origin `json:"origins"`
}

// Explain says where the setting or path called subject gets its value; ok is
// false when there is no such thing in this stack.
func (s Stack) Explain(d deployment.Deployment, subject string) (e Explanation, ok bool) {
	if nameForm.MatchString(subject) {
		if e, ok := s.explainVariable(d, subject); ok {
			return e, true
		}
	}
	return s.explainPath(d, subject)
}

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (s Stack) explainVariable(d deployment.Deployment, name string) (Explanation, bool) {
	use := s.use(d, name, "")
	setting, known := settings.Find(name)
	e := Explanation{Subject: name, Value: use.Value, Place: use.Place, Description: setting.Description}
	for _, source := range s.Sources {
		walk(source, func(path string, value *yaml.Node) {
			if slices.Contains(Variables(value.Value), name) {
				e.Origins = append(e.Origins, s.origin(d, source, value))
			}
		})
	}
	_, set := d.Variables[name]
	return e, known || set || len(e.Origins) > 0
}

// use is what a variable is worth. fallback is the default that the text around it names.
func (s Stack) use(d deployment.Deployment, name, fallback string) Use {
	value, place := fallback, "default"
	if setting, ok := settings.Find(name); ok {
		value = setting.Default
	}
	if v, ok := d.Variables[name]; ok && v.Value != "" {
		value, place = v.Value, v.Place()
	}
	if settings.IsSecret(name) {
		value = Hidden
	}
	return Use{Name: name, Value: value, Place: place}
}

func (s Stack) explainPath(d deployment.Deployment, path string) (Explanation, bool) {
	value, ok := s.value(d, path)
	if !ok {
		return Explanation{}, false
	}
	return Explanation{Subject: path, Value: value, Origins: s.origins(d, path)}, true
}

// value is the composed project's value at path, with secrets hidden.
func (s Stack) value(d deployment.Deployment, path string) (string, bool) {
	text, err := s.Project.MarshalYAML()
	if err != nil {
		return "", false
	}
	document, err := parse(text)
	if err != nil {
		return "", false
	}
	node := find(document, strings.Split(path, "."))
	if node == nil {
		return "", false
	}
	var value string
	if node.Kind == yaml.ScalarNode {
		value = node.Value
	} else {
		text, err := yaml.Marshal(node)
		if err != nil {
			return "", false
		}
		value = strings.TrimSuffix(string(text), "\n")
	}
	return s.hide(d, value), true
}

// hide replaces the values of secret settings.
func (s Stack) hide(d deployment.Deployment, text string) string {
	for _, setting := range settings.All {
		if v, _, ok := d.Setting(setting.Name); setting.Secret && ok {
			text = strings.ReplaceAll(text, v, Hidden)
		}
	}
	return text
}

func (s Stack) origins(d deployment.Deployment, path string) []Origin {
	var origins []Origin
	for _, source := range s.Sources {
		document, err := parse(source.Text)
		if err != nil {
			continue // Load has refused it
		}
		if node := find(document, strings.Split(path, ".")); node != nil {
			origins = append(origins, s.origin(d, source, node))
		}
	}
	return origins
}

func (s Stack) origin(d deployment.Deployment, source Source, node *yaml.Node) Origin {
	o := Origin{File: source.Path, Line: node.Line, Text: node.Value, Variables: []Use{}}
	if node.Kind != yaml.ScalarNode {
		text, err := yaml.Marshal(node)
		if err == nil {
			o.Text = strings.TrimSuffix(string(text), "\n")
		}
	}
	for _, name := range Variables(o.Text) {
		o.Variables = append(o.Variables, s.use(d, name, fallbackOf(name, o.Text)))
	}
	return o
}

// Settings are the names of the variables that the files mention at path or
// below it: what to change to change that value.
func (s Stack) Settings(path string) []string {
	var names []string
	for _, source := range s.Sources {
		document, err := parse(source.Text)
		if err != nil {
			continue
		}
		node := find(document, strings.Split(path, "."))
		if node == nil {
			continue
		}
		below(path, node, func(_ string, value *yaml.Node) {
			for _, name := range Variables(value.Value) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		})
	}
	return names
}

var variableForm = regexp.MustCompile(`\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))`)

// Variables are the names that text mentions as ${NAME…} or $NAME, each once.
func Variables(text string) []string {
	var names []string
	for _, m := range variableForm.FindAllStringSubmatch(text, -1) {
		name := m[1] + m[2]
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// fallbackOf is the default in ${NAME:-default} or ${NAME-default}.
func fallbackOf(name, text string) string {
	for _, sign := range []string{":-", "-"} {
		if _, after, ok := strings.Cut(text, "${"+name+sign); ok {
			depth := 0
			for i := 0; i < len(after); i++ {
				switch {
				case strings.HasPrefix(after[i:], "${"):
					depth++
				case after[i] == '}' && depth > 0:
					depth--
				case after[i] == '}':
					return after[:i]
				}
			}
		}
	}
	return ""
}

func parse(text []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, fmt.Errorf("an empty document")
	}
	return document.Content[0], nil
}

// find follows names into mappings and numbers into lists; nil if there is no
// such place. A list of NAME=value counts as a mapping. Keys may hold dots.
func find(node *yaml.Node, path []string) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if len(path) == 0 {
		return node
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			for n := 1; n <= len(path); n++ {
				if node.Content[i].Value != strings.Join(path[:n], ".") {
					continue
				}
				if found := find(node.Content[i+1], path[n:]); found != nil {
					return found
				}
			}
		}
	case yaml.SequenceNode:
		if n, err := strconv.Atoi(path[0]); err == nil && n >= 0 && n < len(node.Content) {
			return find(node.Content[n], path[1:])
		}
		for _, item := range node.Content {
			if strings.HasPrefix(item.Value, strings.Join(path, ".")+"=") {
				return item
			}
		}
	}
	return nil
}

// walk visits every scalar of a file.
func walk(source Source, visit func(path string, value *yaml.Node)) {
	if document, err := parse(source.Text); err == nil {
		below("", document, visit)
	}
}

func below(path string, node *yaml.Node, visit func(path string, value *yaml.Node)) {
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			below(join(node.Content[i].Value), node.Content[i+1], visit)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			below(join(strconv.Itoa(i)), item, visit)
		}
	case yaml.ScalarNode:
		visit(path, node)
	}
}

var (
	pathForm  = regexp.MustCompile(`\b((?:services|volumes|networks|configs|secrets)(?:\.[A-Za-z0-9_-]+)+)`)
	extraForm = regexp.MustCompile(`additional propert(?:y|ies) '([^']+)'`)
)

// lineOf is the line of the place that a loading error names; 0 where it names none.
func lineOf(source Source, message string) int {
	m := pathForm.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	path := strings.Split(m[1], ".")
	if extra := extraForm.FindStringSubmatch(message); extra != nil {
		path = append(path, extra[1])
	}
	document, err := parse(source.Text)
	if err != nil {
		return 0
	}
	for ; len(path) > 0; path = path[:len(path)-1] {
		if node := find(document, path); node != nil {
			return node.Line
		}
	}
	return 0
}
