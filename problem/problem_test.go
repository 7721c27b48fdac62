package problem

import (
	"errors"
	"fmt"
	"testing"
)

func TestIn(t *testing.T) {
	cause := errors.New("cause")
	one := Problem{ID: "a", Where: "here", What: "it broke", Err: cause}
	two := Problem{ID: "b", What: "so did this"}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"nothing":           {nil, nil},
		"a problem":         {one, []string{"a"}},
		"a wrapped problem": {fmt.Errorf("doing it: %w", one), []string{"a"}},
		"a list":            {List{one, two}, []string{"a", "b"}},
		"a wrapped list":    {fmt.Errorf("doing it: %w", List{two, one}), []string{"b", "a"}},
		"several at once":   {errors.Join(List{one}, nil, cause, two), []string{"a", "error", "b"}},
		"a sentence of two": {fmt.Errorf("%w: %w", errors.New("doing it"), cause), []string{"error"}},
		"of two, one known": {fmt.Errorf("%w: %w", cause, two), []string{"b"}},
		"something else":    {cause, []string{"error"}},
	} {
		var got []string
		for _, p := range In(c.err) {
			got = append(got, p.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if !errors.Is(one, cause) || one.Error() != "here: it broke" || two.Error() != "so did this" {
		t.Errorf("%v, %v", one, two)
	}
	if err := (List{}).OrNil(); err != nil {
		t.Errorf("an empty list is %v", err)
	}
}
