// Runs the MCP conformance suite against a URL and holds the result to a committed list of expected failures.
//
// usage: run.mjs URL (fixture|gate) [SET...]      SET: 2026-07-28, 2025-11-25, stable; all three when none is named
// The list LIST/SET.yml names whole scenarios, each with its reason. A failure that is not listed fails the run, and so
// does a listed scenario that passes. Last line: `N passed, N failed`, counted in scenarios.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, '..', '.cache', 'npm', 'node_modules');
const SUITES = {
    '2026-07-28': ['@modelcontextprotocol/conformance', ['--requirements', '2026-07-28']],
    '2025-11-25': ['@modelcontextprotocol/conformance', ['--requirements', '2025-11-25']],
    stable: ['conformance-stable', ['--suite', 'all']],
};
/** What the gate answers for itself since its first release: no list may excuse these. */
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

const [url, list, ...wanted] = process.argv.slice(2);
if (url === undefined || !['fixture', 'gate'].includes(list) || wanted.some((set) => !(set in SUITES))) {
    console.error('usage: run.mjs URL (fixture|gate) [2026-07-28|2025-11-25|stable ...]');
    process.exit(2);
}

/** The scenario names of one list, in the suite's own format: `server:` and `  - name`. */
function readExpected(set) {
    const path = join(here, list, `${set}.yml`);
    const names = [];
    for (const line of readFileSync(path, 'utf8').split('\n')) {
        const name = /^ {2}- ([a-z0-9-]+)( +#.*)?$/.exec(line)?.[1];
        if (name !== undefined) names.push(name);
        else if (!/^(server:( \[\])?|#.*|)$/.test(line)) throw new Error(`${path}: cannot read the line: ${line}`);
    }
    const excused = names.filter((name) => NEVER_EXCUSED.some((pattern) => pattern.test(name)));
    if (excused.length > 0) throw new Error(`${path}: must not excuse ${excused.join(', ')}`);
    return names;
}

/** Scenario → its checks, from the files the suite writes. */
function runSuite(set) {
    const [name, options] = SUITES[set];
    const program = join(packages, name, 'dist', 'index.js');
    if (!existsSync(program)) throw new Error(`${name} is not installed; run tests/setup`);
    const output = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
        const run = spawnSync(process.execPath, [program, 'server', '--url', url, ...options, '-o', output], {
            encoding: 'utf8',
            maxBuffer: 64 * 1024 * 1024,
            timeout: 15 * 60 * 1000,
        });
        const scenarios = new Map();
        for (const folder of readdirSync(output)) {
            const scenario = /^(?:server-)(.+)-\d{4}-\d\d-\d\dT.*$/.exec(folder)?.[1];
            const file = join(output, folder, 'checks.json');
            if (scenario === undefined || !existsSync(file)) continue;
            scenarios.set(scenario, JSON.parse(readFileSync(file, 'utf8')));
        }
        if (scenarios.size < 30) {
            throw new Error(`the suite ran ${scenarios.size} scenarios:\n${run.stdout}\n${run.stderr}`);
        }
        return scenarios;
    } finally {
        rmSync(output, { recursive: true });
    }
}

let passed = 0;
let failed = 0;
for (const set of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
    const expected = new Set(readExpected(set));
    const scenarios = runSuite(set);
    let checks = 0;
    let excused = 0;
    for (const [scenario, results] of scenarios) {
        const failures = results.filter((check) => check.status === 'FAILURE');
        const isExpected = expected.delete(scenario);
        checks += results.filter((check) => check.status === 'SUCCESS').length;
        if (failures.length > 0 && isExpected) {
            excused += 1;
        } else if (failures.length > 0) {
            failed += 1;
            failures.forEach((check) => console.log(`${set} ${scenario}: ${check.id}: ${check.errorMessage}`));
        } else if (isExpected) {
            failed += 1;
            console.log(`${set} ${scenario}: passes; take it off ${list}/${set}.yml`);
        } else {
            passed += 1;
        }
        for (const check of results.filter((check) => check.status === 'WARNING')) {
            console.log(`${set} ${scenario}: warning: ${check.id}: ${check.errorMessage}`);
        }
    }
    for (const scenario of expected) {
        failed += 1;
        console.log(`${set} ${scenario}: listed in ${list}/${set}.yml, but the suite has no such scenario`);
    }
    console.log(`${set}: ${scenarios.size} scenarios, ${checks} checks passed, ${excused} scenarios fail as listed`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
