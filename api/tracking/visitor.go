package tracking

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/mileusna/useragent"

	"github.com/offerflow/offerflow/domain"
)

// visitor is what a User-Agent tells.
type visitor struct {
	device  string
	os      string
	browser string
	bot     bool
}

// parseVisitor reads a User-Agent. claimedDevice is the publisher's pub_device, which is believed
// where the header does not say.
func parseVisitor(userAgent, claimedDevice string) visitor {
	v := userAgents.read(userAgent)
	if v.device == "" {
		v.device = DeviceOr(claimedDevice)
	}
	return v
}

// readUserAgent leaves the device empty where the header does not say.
func readUserAgent(userAgent string) visitor {
	if userAgent == "" {
		return visitor{}
	}
	ua := useragent.Parse(userAgent)
	v := visitor{os: domain.Storable(ua.OS), browser: domain.Truncated(ua.Name, 64), bot: knownBot(userAgent, &ua)}
	switch ua.OS {
	case useragent.IOS:
		v.device = domain.DeviceIOS
	case useragent.Android:
		v.device = domain.DeviceAndroid
	case useragent.MacOS:
		v.device = domain.DeviceMacOS
	case "":
	default:
		v.device = domain.DeviceBrowser
	}
	return v
}

// visitorCache remembers what User-Agents say: few are in use at a time, and reading one costs as
// much as everything else that a redirect computes. It has a fixed size and takes no lock: two
// that fall on the same slot replace each other.
type visitorCache struct {
	seed  maphash.Seed
	slots [4096]atomic.Pointer[knownVisitor]
}

type knownVisitor struct {
	userAgent string
	visitor   visitor
}

var userAgents = &visitorCache{seed: maphash.MakeSeed()}

func (c *visitorCache) read(userAgent string) visitor {
	slot := &c.slots[maphash.String(c.seed, userAgent)%uint64(len(c.slots))]
	if known := slot.Load(); known != nil && known.userAgent == userAgent {
		return known.visitor
	}
	v := readUserAgent(userAgent)
	slot.Store(&knownVisitor{userAgent: userAgent, visitor: v})
	return v
}

// DeviceOr is the device that a publisher claims, or a browser where it claims none that there is.
func DeviceOr(claimed string) string {
	if device, ok := domain.ParseDevice(claimed); ok {
		return device
	}
	return domain.DeviceBrowser
}

// knownBot says whether a robot says of itself that it is one (rule 47, always on): by the maintained
// list of crawlers, link previews and tools, or by the parser.
func knownBot(userAgent string, ua *useragent.UserAgent) bool {
	return ua.Bot || crawlers().matches(userAgent)
}
