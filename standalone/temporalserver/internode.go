package temporalserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"time"

	"go.temporal.io/server/common/config"
)

// internodeName is what the services call each other in their certificate.
const internodeName = "offerflow-standalone"

// internodeLife is longer than any process runs.
const internodeLife = 20 * 365 * 24 * time.Hour

// internodeTLS has the services take calls from each other alone: history and matching have no
// authorization of their own, and listen on the loopback address where every user of the machine can
// reach them. All of them are in this process, so the certificate is made anew at each start, and its
// key never leaves the memory.
func internodeTLS() (config.GroupTLS, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return config.GroupTLS{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: internodeName}, DNSNames: []string{internodeName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(internodeLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return config.GroupTLS{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return config.GroupTLS{}, err
	}
	public := encoded("CERTIFICATE", certificate)
	return config.GroupTLS{
		Server: config.ServerTLS{
			CertData: public, KeyData: encoded("PRIVATE KEY", private), ClientCAData: []string{public}, RequireClientAuth: true,
		},
		Client: config.ClientTLS{ServerName: internodeName, RootCAData: []string{public}},
	}, nil
}

func encoded(kind string, der []byte) string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
