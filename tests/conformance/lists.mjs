// The committed lists of expected failures: LIST/SET.yml, in the suite's own format.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const LISTS = ['fixture', 'gate', 'bridge', 'prefixed', 'client'];
/** What the gate answers for itself since its first release: its list may excuse none of these. */
const NEVER_EXCUSED = [
    /^server-initialize$/,
    /^ping$/,
    /^tools-list$/,
    /^tools-call-(simple-text|image|audio|embedded-resource|mixed-content|error|with-progress)$/,
    /^server-(stateless|session-lifecycle|sse-multiple-streams)$/,
    /^http-(header|custom-header-server)-validation$/,
    /^dns-rebinding-protection$/,
    /^json-schema-2020-12$/,
];

/** The names of one list: lines of `  - name  # reason` below `server:` or `client:`. `group/*` leaves a group out. */
function readList(list, set) {
    const path = join(here, list, `${set}.yml`);
    if (!existsSync(path)) throw new Error(`${path} is not there`);
    const names = [];
    for (const line of readFileSync(path, 'utf8').split('\n')) {
        const name = /^ {2}- ([a-z0-9-]+(?:\/\*|\/[a-z0-9-]+)?)( +#.*)?$/.exec(line)?.[1];
        if (name !== undefined) names.push(name);
        else if (!/^((server|client):( \[\])?|#.*|)$/.test(line)) throw new Error(`${path}: cannot read: ${line}`);
    }
    const excused = names.filter((name) => list === 'gate' && NEVER_EXCUSED.some((pattern) => pattern.test(name)));
    if (excused.length > 0) throw new Error(`${path}: must not excuse ${excused.join(', ')}`);
    return names;
}

/** What may fail under any of these lists, and which groups are not run at all. */
export function readExpected(lists, set) {
    const names = new Set(lists.flatMap((list) => readList(list, set)));
    const groups = [...names].filter((name) => name.endsWith('/*'));
    groups.forEach((group) => names.delete(group));
    return { names, isLeftOut: (scenario) => groups.some((group) => scenario.startsWith(group.slice(0, -1))) };
}
