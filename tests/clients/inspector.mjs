// Drives a server with the official Inspector's command line, one process a request. See README.md for the job format.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headers, job } from './job.mjs';

const program = fileURLToPath(new URL('../.cache/npm/node_modules/.bin/mcp-inspector', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'inspector-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

/** Runs one method; the JSON it prints, or the error it ends with. */
function inspect(...more) {
    const args = [program, '--cli', job.url, '--transport', 'http', '--protocol-era', job.era, '--quiet', ...more];
    for (const [name, value] of Object.entries(headers)) args.push('--header', `${name}: ${value}`);
    const env = { ...process.env, HOME: home };
    const options = { encoding: 'utf8', env, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 };
    const run = spawnSync(process.execPath, args, options);
    try {
        return { result: JSON.parse(run.stdout) };
    } catch {
        const code = Number(/-32\d{3}/.exec(run.stderr)?.[0] ?? 0);
        return { error: { code, message: run.stderr.trim() || `exit ${run.status}: ${run.stdout}` } };
    }
}

const list = inspect('--method', 'tools/list');
if (list.error) {
    console.error(list.error.message);
    process.exit(1);
}
const results = job.calls.map(({ name, arguments: given = {} }) => {
    const args = ['--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(given)];
    return { name, progress: [], ...inspect(...args) };
});
console.log(JSON.stringify({ version: job.era, tools: list.result.tools, results }));
