package domain

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// maxSlug bounds a goal's name in URLs.
const maxSlug = 100

// goalSettings reads the settings beyond the source's table; statusName is what the goal's
// status is called at this place.
func (f *docFields) goalSettings(kind ConversionType, statusName string) GoalSettings {
	g := GoalSettings{
		Slug:             f.slug(),
		IsPrivate:        f.flag("isPrivate", false),
		IsEndPoint:       f.flag("isEndPoint", false),
		RequiresApproval: f.flag("requiresApproval", false),
		OncePerSession:   f.flag("oncePerSession", false),
		RecordAs:         RecordAsConversion,
		Status:           GoalStatusActive,
		Reference:        f.text("reference", false, maxTitle),
		Payout:           f.number("payout", false, revenueRange(kind)),
		DedupeSeconds:    f.numberOr("dedupeSeconds", DefaultDedupeSeconds, rangeSeconds),
		PayoutTiers:      f.tiers("payoutTiers", kind),
		RevenueTiers:     f.tiers("revenueTiers", kind),
	}
	if id, ok := f.id("payoutStructureId", false, f.terms.PayoutStructureExists); ok {
		g.PayoutStructureID = &id
	}
	if f.word("recordAs", false, []string{string(RecordAsConversion), string(RecordAsClick)}) == string(RecordAsClick) {
		g.RecordAs = RecordAsClick
	}
	if f.word(statusName, false, []string{string(GoalStatusActive), string(GoalStatusDeleted)}) == string(GoalStatusDeleted) {
		g.Status = GoalStatusDeleted
	}
	if f.terms.Shared && len(g.RevenueTiers) > 0 {
		f.fail(f.at("revenueTiers"), "is not allowed on shared offers (rule 57)")
	}
	if g.IsPrivate {
		f.zeroPayout(&g)
	}
	if g.IsEndPoint && g.RecordAs == RecordAsClick {
		f.warn(f.at("isEndPoint"), "a goal that is recorded as a click has no conversions, so it cannot end a session (rule 70)")
	}
	return g
}

// zeroPayout takes away what a private goal would pay (rule 39).
func (f *docFields) zeroPayout(g *GoalSettings) {
	paid := g.Payout != nil && *g.Payout != 0
	if paid || g.PayoutStructureID != nil || len(g.PayoutTiers) > 0 {
		f.warn(f.at("isPrivate"), "a private goal has no payout: it was set to zero (rule 39)")
	}
	if g.Payout != nil {
		g.Payout = new(Micros)
	}
	g.PayoutStructureID, g.PayoutTiers = nil, nil
}

// tiers are figures by tier id; nil when there are none.
func (f *docFields) tiers(name string, kind ConversionType) map[string]Micros {
	node, ok := f.optional(name)
	switch {
	case !ok:
		return nil
	case node.kind != docObject:
		f.fail(f.at(name), "must be an object of figures by tier id, not %s", node.kind)
		return nil
	case len(node.members) > maxTiers:
		f.fail(f.at(name), "has more than %d values", maxTiers)
		return nil
	}
	var tiers map[string]Micros
	for _, m := range node.members {
		path := f.at(name) + "." + clip(m.name)
		id, ok := f.idAt(path, docNode{kind: docString, text: m.name}, f.terms.TierExists)
		figure := f.numberAt(path, m.value, revenueRange(kind))
		if !ok || figure == nil {
			continue
		}
		if tiers == nil {
			tiers = map[string]Micros{}
		}
		tiers[id.String()] = *figure
	}
	return tiers
}

// slug is a goal's name in URLs as given, in lower case; empty when it is to be made.
func (f *docFields) slug() string {
	slug := strings.ToLower(f.text("slug", false, maxSlug))
	if strings.ContainsFunc(slug, notSlug) {
		f.fail(f.at("slug"), "must contain only letters a to z, digits, - and _")
		return ""
	}
	return slug
}

func notSlug(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-')
}

// keepIdentity gives every event its id and slug: those of the document, else those of the same
// event in the version before (found by id or by eventId), else new ones. The default goal of a
// SingleEvent offer stays the same goal through every version.
func (f *docFields) keepIdentity(o *Offer) {
	usedIDs, usedSlugs := map[uuid.UUID]bool{}, map[string]bool{}
	for _, e := range o.Events {
		usedIDs[e.ID], usedSlugs[e.Slug] = true, true
	}
	before := make([]*Event, len(o.Events))
	for i := range o.Events {
		e := &o.Events[i]
		before[i] = f.eventBefore(o, e)
		if e.ID == uuid.Nil && before[i] != nil && !usedIDs[before[i].ID] {
			e.ID = before[i].ID
		}
		if e.ID == uuid.Nil {
			e.ID = f.newID()
		}
		usedIDs[e.ID] = true
		if e.Slug == "" && before[i] != nil && !usedSlugs[before[i].Slug] {
			e.Slug = before[i].Slug
			usedSlugs[e.Slug] = true
		}
	}
	for i := range o.Events {
		if e := &o.Events[i]; e.Slug == "" {
			e.Slug = freeSlug(e, usedSlugs)
			usedSlugs[e.Slug] = true
		}
	}
}

func (f *docFields) eventBefore(o *Offer, e *Event) *Event {
	p := f.terms.Previous
	switch {
	case p == nil:
		return nil
	case o.OfferType == OfferTypeSingleEvent:
		return p.DefaultEvent()
	case e.ID != uuid.Nil && p.EventByID(e.ID) != nil:
		return p.EventByID(e.ID)
	case e.EventID != "":
		return p.EventByName(e.EventID)
	default:
		return nil
	}
}

func (r *docReader) newID() uuid.UUID {
	if r.terms.NewID != nil {
		return r.terms.NewID()
	}
	return uuid.New()
}

func freeSlug(e *Event, used map[string]bool) string {
	base := Slug(e.Name)
	if base == "" {
		base = "goal"
	}
	slug := base
	for n := 2; used[slug]; n++ {
		slug = base + "-" + strconv.Itoa(n)
	}
	return slug
}

// latin spells the commoner accented letters in ASCII.
var latin = strings.NewReplacer("à", "a", "á", "a", "â", "a", "ã", "a", "å", "a", "ā", "a", "ă", "a", "ą", "a",
	"ä", "ae", "æ", "ae", "ç", "c", "ć", "c", "č", "c", "ď", "d", "đ", "d", "ð", "d", "è", "e", "é", "e", "ê", "e",
	"ë", "e", "ē", "e", "ę", "e", "ě", "e", "ğ", "g", "ì", "i", "í", "i", "î", "i", "ï", "i", "ī", "i", "ı", "i",
	"ķ", "k", "ļ", "l", "ł", "l", "ñ", "n", "ń", "n", "ň", "n", "ņ", "n", "ò", "o", "ó", "o", "ô", "o", "õ", "o",
	"ø", "o", "ő", "o", "ö", "oe", "œ", "oe", "ř", "r", "ś", "s", "š", "s", "ş", "s", "ș", "s", "ß", "ss", "ť", "t",
	"ţ", "t", "ț", "t", "þ", "th", "ù", "u", "ú", "u", "û", "u", "ū", "u", "ů", "u", "ű", "u", "ü", "ue",
	"ý", "y", "ÿ", "y", "ź", "z", "ż", "z", "ž", "z")

// Slug makes a goal's name in URLs from its title: "Reach Level 7!" is "reach-level-7". Letters
// beyond the Latin ones are left out, so that it may be empty.
func Slug(title string) string {
	words := strings.FieldsFunc(latin.Replace(strings.ToLower(title)), func(c rune) bool { return notSlug(c) || c == '-' })
	slug := strings.Join(words, "-")
	if len(slug) > maxSlug-4 {
		slug = strings.Trim(slug[:maxSlug-4], "-")
	}
	return slug
}
