package api

import (
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func capsOf(p dbgen.Partner) domain.Caps {
	return domain.Caps{Daily: p.DailyCap, Weekly: p.WeeklyCap, Monthly: p.MonthlyCap, AllTime: p.AllTimeCap}
}
