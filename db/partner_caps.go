package db

import (
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// CapsOf are the caps of a partner.
func CapsOf(p dbgen.Partner) domain.Caps {
	return domain.Caps{Daily: p.DailyCap, Weekly: p.WeeklyCap, Monthly: p.MonthlyCap, AllTime: p.AllTimeCap}
}
