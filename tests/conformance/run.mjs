// Runs the MCP conformance suite and holds the result to committed lists of expected failures.
//
// usage: run.mjs URL LIST[,LIST...] [SET...]   a server at a URL; LIST: fixture, gate, bridge, prefixed
//        run.mjs client [SET...]               gates as clients of the suite's mock servers; TOLLGATE_BINARY names one
// SET: 2026-07-28, 2025-11-25, stable; those of the list's folder when none is named.
//
// LIST/SET.yml names whole scenarios, each with its reason. A failure that is not listed fails the run, and so does a
// listed scenario that passes. Last line: `N passed, N failed`, counted in scenarios.

import { existsSync } from 'node:fs';
import { LISTS, readExpected } from './lists.mjs';
import { runClient, runServer, SUITES } from './suite.mjs';

const [target, ...more] = process.argv.slice(2);
const lists = target === 'client' ? ['client'] : (more.shift() ?? '').split(',');
const isThere = (set) => existsSync(new URL(`./${lists[0]}/${set}.yml`, import.meta.url));
const sets = more.length > 0 ? more : Object.keys(SUITES).filter(isThere);
if (target === undefined || !lists.every((list) => LISTS.includes(list)) || sets.some((set) => !(set in SUITES))) {
    console.error('usage: run.mjs (URL LIST[,LIST...] | client) [2026-07-28|2025-11-25|stable ...]');
    process.exit(2);
}

let passed = 0;
let failed = 0;

/** Counts one scenario; true where it failed as listed. */
function judge(set, scenario, checks, isExpected) {
    const failures = checks.filter((check) => check.status === 'FAILURE');
    for (const check of checks.filter((check) => check.status === 'WARNING')) {
        console.log(`${set} ${scenario}: warning: ${check.id}: ${check.errorMessage}`);
    }
    if (failures.length > 0 && isExpected) return true;
    if (failures.length === 0 && !isExpected) {
        passed += 1;
        return false;
    }
    failed += 1;
    failures.forEach((check) => console.log(`${set} ${scenario}: ${check.id}: ${check.errorMessage}`));
    if (isExpected) console.log(`${set} ${scenario}: passes; take it off ${lists.join(' or ')}/${set}.yml`);
    return false;
}

for (const set of sets) {
    const { names, isLeftOut } = readExpected(lists, set);
    const isClient = target === 'client';
    const ran = isClient ? await runClient(set, isLeftOut) : { scenarios: await runServer(set, target), leftOut: 0 };
    const { scenarios, leftOut } = ran;
    let checks = 0;
    let excused = 0;
    for (const [scenario, results] of scenarios) {
        checks += results.filter((check) => check.status === 'SUCCESS').length;
        if (judge(set, scenario, results, names.delete(scenario))) excused += 1;
    }
    for (const scenario of names) {
        failed += 1;
        console.log(`${set} ${scenario}: in ${lists.join(' or ')}/${set}.yml, but the suite has no such scenario`);
    }
    const left = leftOut > 0 ? `, ${leftOut} left out` : '';
    console.log(`${set}: ${scenarios.size} scenarios, ${checks} checks passed, ${excused} fail as listed${left}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
