package process

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/offerflow/offerflow/db"
)

// commit is set by the linker (scripts/build.sh, Dockerfile). Where it is empty, Go's own stamp counts.
var commit string

// Version says in one line which program this is.
func Version(program string) string {
	return fmt.Sprintf("%s %s, commit %s, database schema %05d, %s %s/%s",
		program, release(), builtFrom(), db.NewestSchema(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// release is the version of the module: a tag where it was installed by one.
func release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// builtFrom is the commit that the program was built from, as far as that was known.
func builtFrom() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "unknown", ""
	for _, one := range info.Settings {
		switch {
		case one.Key == "vcs.revision":
			revision = one.Value
		case one.Key == "vcs.modified" && one.Value == "true":
			changed = " with changes"
		}
	}
	return revision + changed
}
