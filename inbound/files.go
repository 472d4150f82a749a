package inbound

import "log/slog"

// ownFiles are left for everything but the connections of clients: the database, the stream, logs.
const ownFiles = 512

// WithinFiles lowers the connections to what the process may open files for, and says so: a process
// without files left accepts no connections and reaches neither database nor stream.
func (l Limits) WithinFiles() Limits {
	l = l.orUsual()
	files := openFiles()
	if most := connectionsFor(files); files > 0 && l.Connections > most {
		slog.Warn("fewer connections than OFFERFLOW_MAX_CONNECTIONS are accepted: raise the limit of open files (ulimit -n, LimitNOFILE)",
			"connections", most, "wanted", l.Connections, "open_files", files)
		l.Connections = most
	}
	return l
}

// connectionsFor are the connections that a limit of open files has room for.
func connectionsFor(files uint64) int {
	files = min(files, 1<<30)
	return int(max(files-min(files, max(ownFiles, files/8)), files/4, 1))
}
