#!/usr/bin/env bash
# crawlers.sh <version of crawler-user-agents> <version of user-agents>: brings the lists by which robots
# are known (rule 47) up to date, with what they are tested by. It needs npm and the network; what it
# writes is committed, so that nothing else does.
set -euo pipefail
cd "$(dirname "$0")/.."
crawlers=${1:?a version of crawler-user-agents, 1.60.0 for one} agents=${2:?a version of user-agents, 2.1.198 for one}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "crawler-user-agents@$crawlers" "user-agents@$agents" >/dev/null)
mkdir -p "$work/c" "$work/u"
tar xzf "$work/crawler-user-agents-$crawlers.tgz" -C "$work/c"
tar xzf "$work/user-agents-$agents.tgz" -C "$work/u"
mkdir -p api/tracking/crawlers api/tracking/testdata
cp "$work/c/package/LICENSE" api/tracking/crawlers/LICENSE
cp "$work/u/package/LICENSE" api/tracking/testdata/human_agents.LICENSE
node - "$work" "$crawlers" "$agents" <<'JS'
const fs = require('fs');
const [work, crawlers, agents] = process.argv.slice(2);
const list = JSON.parse(fs.readFileSync(`${work}/c/package/crawler-user-agents.json`));
const from = `# crawler-user-agents ${crawlers} (npm), MIT, Copyright (c) 2017 Martin Monperrus; written by scripts/crawlers.sh`;
const lines = (head, all) => [head, ...new Set(all)].join('\n') + '\n';
fs.writeFileSync('api/tracking/crawlers/patterns.txt', lines(from, list.map((one) => one.pattern)));
fs.writeFileSync('api/tracking/testdata/crawler_samples.txt', lines(from, list.flatMap((one) => one.instances || [])));
const people = JSON.parse(fs.readFileSync(`${work}/u/package/dist/user-agents.json`)).map((one) => one.userAgent);
fs.writeFileSync('api/tracking/testdata/human_agents.txt', lines(
  `# user-agents ${agents} (npm), BSD-2-Clause, Copyright 2018-present Intoli, LLC; written by scripts/crawlers.sh`, people));
JS
