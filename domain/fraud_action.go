package domain

// What a finding of a fraud check does (rule 48).
const (
	FraudActionOff    = "off"
	FraudActionRefuse = "refuse"
	FraudActionHold   = "hold"
)
