// Command cmd prints the callbacks that it receives:
//
//	go run ./examples/receiver/cmd -secret whsec_… -addr 127.0.0.1:9090
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/offerflow/offerflow/examples/receiver"
)

func main() {
	secret := flag.String("secret", "", "signing secret, as PUT /api/v1/callback-endpoint showed it")
	addr := flag.String("addr", "127.0.0.1:9090", "address to listen on")
	flag.Parse()
	handler, err := receiver.New(*secret, func(m receiver.Message) {
		member := "(no member)"
		if m.Conversion.PubMemberID != nil {
			member = *m.Conversion.PubMemberID
		}
		fmt.Printf("%s #%d %s: %s points for %s (%s)\n", m.Conversion.ConversionID, m.Sequence, m.Conversion.Status,
			m.Conversion.RewardPoints, member, m.Conversion.OfferName)
	})
	if err != nil || *secret == "" {
		log.Fatal("-secret must be the endpoint's whsec_… secret")
	}
	server := &http.Server{Addr: *addr, Handler: handler, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
