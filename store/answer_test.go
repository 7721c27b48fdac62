package store

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
)

// What storages answer, in words that say what to do.
func TestAnswers(t *testing.T) {
	t.Parallel()
	b := &bucket{host: "storage:9000", name: "backups", prefix: "mine/", pace: usual}
	for code, c := range map[string]struct {
		status   int
		id, says string
		again    bool
	}{
		"NoSuchBucket":                 {404, Missing, "storage:9000 has no bucket backups", false},
		"NoSuchKey":                    {404, Missing, "it is not there", false},
		"AccessDenied":                 {403, Refused, "says: why (AccessDenied)", false},
		"InvalidAccessKeyId":           {403, Refused, "says: why", false},
		"SignatureDoesNotMatch":        {403, Refused, "says: why", false},
		"ExpiredToken":                 {400, Refused, "says: why", false},
		"RequestTimeTooSkewed":         {403, Refused, "says: why", false},
		"AuthorizationHeaderMalformed": {400, Malformed, "says: why", false},
		"PermanentRedirect":            {301, Malformed, "says: why", false},
		"PreconditionFailed":           {412, Exists, "already", false},
		"ConditionalRequestConflict":   {409, Exists, "already", false},
		"QuotaExceeded":                {403, Full, "says: why", false},
		"XMinioStorageFull":            {507, Full, "says: why", false},
		"507 Insufficient Storage":     {507, Full, "says: why", false},
		"EntityTooLarge":               {400, Full, "says: why", false},
		"SlowDown":                     {503, Unreachable, "says: why", true},
		"InternalError":                {200, Unreachable, "says: why", true},
		"RequestTimeout":               {400, Unreachable, "says: why", true},
		"BadDigest":                    {400, Unreachable, "says: why", true},
		"502 Bad Gateway":              {502, Unreachable, "says: why", true},
		"TooManyRequests":              {429, Unreachable, "says: why", true},
		"NotImplemented":               {501, Broken, "says: why", false},
		"MethodNotAllowed":             {405, Broken, "says: why", false},
	} {
		answer := minio.ErrorResponse{Code: code, Message: "why.", StatusCode: c.status}
		err := b.refusal(t.Context(), file, answer)
		isProblem(t, err, c.id, c.says)
		if !errors.Is(err, answer) {
			t.Errorf("%s: what was behind it is lost", code)
		}
		if is := again(answer, true, answer); is != c.again {
			t.Errorf("%s: tried again: %v", code, is)
		}
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.refusal(interrupted, file, errors.New("closed")); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt is taken for %v", err)
	}
	if err := b.refusal(t.Context(), file, exists("x")); !errors.Is(err, exists("x")) {
		t.Errorf("a problem becomes %v", err)
	}
	if again(minio.ErrorResponse{}, false, http.ErrSchemeMismatch) {
		t.Error("what does not speak TLS is asked again")
	}
}
