package api

// What a finding of a fraud check does (rule 48).
const (
	fraudOff    = "off"
	fraudRefuse = "refuse"
	fraudHold   = "hold"
)
