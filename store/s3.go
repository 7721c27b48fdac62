package store

import "errors"

func atS3(where, bucket string, env func(string) string) (Store, string, error) {
	return nil, "", errors.New("not yet")
}
