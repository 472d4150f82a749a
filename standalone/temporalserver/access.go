package temporalserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
)

// bearer gives every right to whoever brings the token as `authorization: Bearer …`, and none to anybody
// else: the default authorizer then answers health checks alone.
type bearer struct{ hash [sha256.Size]byte }

func newBearer(token string) *bearer { return &bearer{sha256.Sum256([]byte(token))} }

// GetClaims satisfies authorization.ClaimMapper.
func (b *bearer) GetClaims(info *authorization.AuthInfo) (*authorization.Claims, error) {
	scheme, token, _ := strings.Cut(info.AuthToken, " ")
	hash := sha256.Sum256([]byte(token))
	if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare(hash[:], b.hash[:]) != 1 {
		return &authorization.Claims{}, nil
	}
	return &authorization.Claims{Subject: "offerflow", System: authorization.RoleAdmin}, nil
}

// ClientOptions are what a client needs to reach a server at an address.
func ClientOptions(address, token string) client.Options {
	return client.Options{
		HostPort: address, Namespace: Namespace, Credentials: client.NewAPIKeyStaticCredentials(token),
		ConnectionOptions: client.ConnectionOptions{TLSDisabled: true}, // it never leaves the machine
	}
}
