package domain

// money is revenue, payout and reward of an event (rules 35, 36, 39). A product too large for a
// figure counts as nothing: such an amount is not one that anybody sells for.
func (f *Facts) money(event *Event, amount *Micros) (revenue, payout, reward Micros) {
	figure := func(flatOrPercent *Micros) Micros {
		switch {
		case flatOrPercent == nil:
			return 0
		case f.Current.ConversionType == ConversionTypeFlatRate:
			return *flatOrPercent
		case amount == nil:
			return 0
		}
		share, err := amount.Percent(*flatOrPercent)
		if err != nil {
			return 0
		}
		return share
	}
	if event.HasRevenue {
		revenue = figure(event.Revenue)
	}
	if f.Click.PartnerID != nil && !event.IsPrivate { // rule 39: private goals pay nothing
		payout = figure(event.Payout)
	}
	if !event.HasReward {
		return revenue, payout, 0
	}
	if !event.UseDefaultRatio {
		return revenue, payout, figure(event.Reward)
	}
	if f.RewardRatio == nil { // a given value stands in (rule 36)
		return revenue, payout, figure(event.Reward)
	}
	reward, err := revenue.Times(*f.RewardRatio)
	if err != nil {
		return revenue, payout, 0
	}
	return revenue, payout, reward
}
