package image

import (
	"context"
	"testing"

	apiimage "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
)

// lists is an engine that has images, and does nothing else.
type lists struct {
	Engine
	images []apiimage.Summary
}

func (l lists) ImageList(context.Context, client.ImageListOptions) (client.ImageListResult, error) {
	return client.ImageListResult{Items: l.images}, nil
}

// What somebody makes FROM an image of ours inherits its labels. It must not
// get its name: it may be anything.
func TestWhatIsMadeFromAnImageIsNotThatImage(t *testing.T) {
	t.Parallel()
	usual := PostgreSQL()
	for name, images := range map[string][]apiimage.Summary{
		"it has its name":      {{ID: "theirs", Created: 3}, {ID: "ours", Created: 2, RepoTags: []string{usual.Ref()}}, {ID: "old", Created: 1}},
		"it has lost its name": {{ID: "theirs", Created: 3, RepoTags: []string{"mine:1"}}, {ID: "ours", Created: 2}},
	} {
		b := builder{engine: lists{images: images}}
		found, err := b.made(t.Context(), usual)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, found.ID, "ours")
	}
}
