// A gate with a folder of its own in front of one server, for as long as one scenario takes, and the person who allows
// it at that server.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const READY_MS = 20_000;
/** The gate waits longer for calls under way; a scenario has no use for it. */
const STOP_MS = 1000;

const freePort = () =>
    new Promise((found, failed) => {
        const probe = createServer().on('error', failed);
        probe.listen(0, '127.0.0.1', () => {
            const { port } = probe.address();
            probe.close(() => found(port));
        });
    });

async function isReady(port) {
    try {
        return (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200;
    } catch {
        return false;
    }
}

/** Opens the page that `tollgate authorize` prints, as a browser would. True where the gate then has its token. */
async function authorize(binary, config) {
    const child = spawn(binary, ['authorize', 'mock', '--config', config], { stdio: ['ignore', 'pipe', 2] });
    const ended = new Promise((done) => child.on('exit', done));
    child.stdout.setEncoding('utf8').on('data', async (text) => {
        try {
            const page = await fetch(text.trim(), { redirect: 'manual' });
            await fetch(page.headers.get('location'));
        } catch (error) {
            console.error(`the page ${text.trim()}: ${error.message}`);
            child.kill('SIGTERM');
        }
    });
    return (await ended) === 0;
}

/** Starts the gate; `server` is the body of its server's table. Gives the unprefixed URL, what it logs, the way to
 * allow it at its server, and the way to stop. */
export async function startGate(binary, server) {
    const folder = mkdtempSync(join(tmpdir(), 'tollgate-front-'));
    const [listen, admin] = [await freePort(), await freePort()];
    const tables = [
        `[listen]\naddress = "127.0.0.1:${listen}"`,
        `[admin]\naddress = "127.0.0.1:${admin}"`,
        '[state]\ndirectory = "state"',
        '[runtime]\npin = false\nshards = 2',
        '[journal]\nring_directory = "ring"',
        '[anonymous]\nallow = ["*/*"]',
        `[servers.mock]\n${server}`,
    ];
    writeFileSync(join(folder, 'tollgate.toml'), tables.join('\n'));
    const config = join(folder, 'tollgate.toml');
    const child = spawn(binary, ['serve', '--config', config], { cwd: folder, stdio: ['ignore', 2, 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
        log += text;
        process.stderr.write(text);
    });
    const ended = new Promise((done) => child.on('exit', done));
    const stop = async () => {
        child.kill('SIGTERM');
        const last = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
        await ended;
        clearTimeout(last);
        rmSync(folder, { recursive: true });
    };
    for (const until = Date.now() + READY_MS; !(await isReady(admin)); ) {
        if (child.exitCode !== null || Date.now() > until) {
            await stop();
            throw new Error('the gate does not start');
        }
        await new Promise((done) => setTimeout(done, 20));
    }
    const url = `http://localhost:${listen}/mcp/mock`;
    return { url, log: () => log, authorize: () => authorize(binary, config), stop };
}
