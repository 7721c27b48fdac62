package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/inmanta/inmanta-docker/problem"
)

// again says whether something that failed is worth trying again.
func again(answer minio.ErrorResponse, answered bool, err error) bool {
	if !answered {
		return !errors.Is(err, errChanged) && !isCertificate(err) && !isNoTLS(err)
	}
	switch answer.Code {
	case "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "InternalError", "IncompleteBody",
		minio.BadDigest, minio.XAmzContentSHA256Mismatch: // what arrived had been changed on the way
		return true
	case minio.NotImplemented:
		return false
	}
	return answer.StatusCode >= 500 && answer.StatusCode != http.StatusInsufficientStorage ||
		answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout
}

// missing says that the error is that there is no such object.
func missing(err error) bool {
	answer, is := errors.AsType[minio.ErrorResponse](err)
	return is && (answer.Code == minio.NoSuchKey || answer.Code == "NotFound")
}

func isCertificate(err error) bool {
	_, is := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	return is || unknown
}

func isNoTLS(err error) bool {
	_, is := errors.AsType[tls.RecordHeaderError](err)
	return is || errors.Is(err, http.ErrSchemeMismatch)
}

// refusal puts what the storage says, or that it says nothing, into words. The
// error is the context's where that is why.
func (b *bucket) refusal(ctx context.Context, name string, err error) error {
	if _, is := errors.AsType[problem.Problem](err); is {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	p := problem.Problem{Where: b.String() + name, Err: err}
	if answer, is := errors.AsType[minio.ErrorResponse](err); is {
		b.answered(&p, answer)
	} else {
		b.silent(&p, err)
	}
	return p
}

// answered says what an answer means.
func (b *bucket) answered(p *problem.Problem, answer minio.ErrorResponse) {
	p.ID, p.What = Broken, fmt.Sprintf("%s says: %s (%s)", b.host, strings.TrimSuffix(answer.Message, "."), answer.Code)
	p.Fix = "ask whoever runs the storage"
	switch answer.Code {
	case minio.NoSuchBucket:
		p.ID, p.What, p.Fix = Missing, fmt.Sprintf("%s has no bucket %s", b.host, b.name), "see whether the name and AWS_ENDPOINT_URL are right, or make the bucket"
	case minio.NoSuchKey, "NotFound":
		p.ID, p.What, p.Fix = Missing, "it is not there", "see which are: `inmanta-docker backup ls`"
	case minio.PreconditionFailed, "ConditionalRequestConflict":
		*p = exists(p.Where)
		p.Err = answer
	case minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch, "ExpiredToken", "InvalidToken", "AuthFailure", "XAdminUserNotFound":
		p.ID, p.Fix = Refused, "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	case minio.RequestTimeTooSkewed:
		p.ID, p.Fix = Refused, "set this machine's clock"
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "PermanentRedirect", "IllegalLocationConstraintException":
		p.ID, p.Fix = Malformed, "set AWS_REGION to the region of the bucket"
	case minio.EntityTooLarge, "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		p.ID, p.Fix = Full, "make room there, or keep backups elsewhere"
	default:
		switch {
		case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
			p.ID, p.Fix = Refused, "let this key list, read, write and remove there, or see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
		case answer.StatusCode == http.StatusInsufficientStorage:
			p.ID, p.Fix = Full, "make room there, or keep backups elsewhere"
		case again(answer, true, nil):
			p.ID, p.Fix = Unreachable, "try again later"
		}
	}
}

// silent says why there is no answer.
func (b *bucket) silent(p *problem.Problem, err error) {
	p.ID, p.What, p.Fix = Unreachable, fmt.Sprintf("%s cannot be asked: %v", b.host, err), "see whether AWS_ENDPOINT_URL is right, and whether this machine gets there"
	late, isNet := errors.AsType[net.Error](err)
	unknown, isName := errors.AsType[*net.DNSError](err)
	switch {
	case isName:
		p.What = fmt.Sprintf("the name %s is not known here", unknown.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		p.What = fmt.Sprintf("nothing listens at %s", b.host)
	case isCertificate(err):
		p.What = fmt.Sprintf("the certificate of %s is signed by nobody who is known here, or is for another name: %v", b.host, err)
		p.Fix = "name the file with the certificate of its authority in SSL_CERT_FILE"
	case isNoTLS(err):
		p.What, p.Fix = b.host+" does not speak TLS", "give http:// in AWS_ENDPOINT_URL"
	case isNet && late.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		p.What = fmt.Sprintf("%s has not answered for %v", b.host, b.pace.patience)
	}
}
