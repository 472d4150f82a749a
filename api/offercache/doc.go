// Package offercache is what redirects and walls know of offers, in memory: links, offers, partners and
// tenants, and which of them have used up their caps. It is loaded whole at the start and kept fresh by
// events; a link that it does not know costs one bounded look-up.
package offercache
