// Starts the official suite, of either version, and reads what it found.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, '..', '.cache', 'npm', 'node_modules');
const NEW = '@modelcontextprotocol/conformance';
export const SUITES = {
    '2026-07-28': [NEW, ['--requirements', '2026-07-28']],
    '2025-11-25': [NEW, ['--requirements', '2025-11-25']],
    stable: ['conformance-stable', ['--suite', 'all']],
};
/** Client scenarios under way at once: each has a gate of its own. */
const AT_ONCE = 4;
const CLIENT = [process.execPath, join(here, 'client.mjs')].map((word) => `'${word}'`).join(' ');

function program(name) {
    const path = join(packages, name, 'dist', 'index.js');
    if (!existsSync(path)) throw new Error(`${name} is not installed; run tests/setup`);
    return path;
}

/** Runs the suite's program; it ends with 1 where a check fails, which its files say better. */
async function run(name, args, timeout) {
    const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, timeout };
    try {
        return await promisify(execFile)(process.execPath, [program(name), ...args], options);
    } catch (error) {
        return { stdout: error.stdout ?? '', stderr: error.stderr || String(error) };
    }
}

/** Scenario → its checks, from the files the suite writes into a folder. */
function readChecks(output, prefix) {
    const scenarios = new Map();
    for (const entry of readdirSync(output, { recursive: true })) {
        const scenario = new RegExp(`^${prefix}(.+)-\\d{4}-\\d\\d-\\d\\dT[^/]*/checks\\.json$`).exec(entry)?.[1];
        if (scenario !== undefined) scenarios.set(scenario, JSON.parse(readFileSync(join(output, entry), 'utf8')));
    }
    return scenarios;
}

async function inFolder(work) {
    const output = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
        return await work(output);
    } finally {
        rmSync(output, { recursive: true });
    }
}

/** A set's server scenarios against a URL. */
export const runServer = (set, url) =>
    inFolder(async (output) => {
        const [name, options] = SUITES[set];
        const { stdout, stderr } = await run(name, ['server', '--url', url, ...options, '-o', output], 15 * 60 * 1000);
        const scenarios = readChecks(output, 'server-');
        if (scenarios.size < 30) throw new Error(`the suite ran ${scenarios.size} scenarios:\n${stdout}\n${stderr}`);
        return scenarios;
    });

/** The names of a set's client scenarios, scored or not. */
async function listClient(set) {
    const [name, options] = SUITES[set];
    const which = set === 'stable' ? [] : options;
    const { stdout, stderr } = await run(name, ['list', '--client', ...which], 60_000);
    const [, scored = ''] = stdout.split('Client scenarios');
    const found = [
        // The stable version writes beside each the revisions that have it.
        ...scored.split('Run and reported')[0].matchAll(/^ +- ([\w/-]+)(?: \[[\w,-]+\])?$/gm),
        ...stdout.matchAll(/^ +- ([\w/-]+) \[client\]$/gm),
    ];
    if (found.length === 0) throw new Error(`the suite lists no client scenarios:\n${stdout}\n${stderr}`);
    return found.map((match) => match[1]);
}

/** A set's client scenarios with a gate between client and mock server; one that writes nothing has failed. */
export async function runClient(set, isLeftOut) {
    const all = await listClient(set);
    const wanted = all.filter((scenario) => !isLeftOut(scenario));
    const scenarios = new Map();
    const next = wanted.values();
    const worker = async () => {
        for (const scenario of next) scenarios.set(scenario, await runOne(set, scenario));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { scenarios, leftOut: all.length - wanted.length };
}

const runOne = (set, scenario) =>
    inFolder(async (output) => {
        const [name] = SUITES[set];
        const at = set === 'stable' ? [] : ['--spec-version', set, '--force'];
        const args = ['client', '--command', CLIENT, '--scenario', scenario, ...at];
        const { stdout, stderr } = await run(name, [...args, '-o', output], 120_000);
        const checks = readChecks(output, '').get(scenario);
        if (process.env.CONFORMANCE_VERBOSE) console.log(stdout, stderr);
        if (checks !== undefined) return checks;
        return [{ id: scenario, status: 'FAILURE', errorMessage: `the suite wrote nothing: ${stderr.slice(-2000)}` }];
    });
