// The command of `conformance client`: a gate in front of the suite's mock server, and a client in front of the gate.
//
// usage: client.mjs URL       TOLLGATE_BINARY names the gate, else target/debug/tollgate
// The suite sets MCP_CONFORMANCE_SCENARIO, _CONTEXT and _PROTOCOL_VERSION. It judges what the gate sends, so the client
// only makes the gate send everything: all lists, every tool, prompt and resource. What it is answered does not matter.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { argumentsFor, fill } from './arguments.mjs';
import { startGate } from './gate.mjs';

const require = createRequire(new URL('../.cache/npm/', import.meta.url));
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

/** How long the gate may take to list a server that has tools. */
const LISTED_MS = 3000;
const upstream = process.argv.at(-1);
// The stable version of the suite names none.
const version = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? '2025-11-25';
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? '';
const { toolCalls = [], ...context } = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || '{}');
const binary = process.env.TOLLGATE_BINARY ?? fileURLToPath(new URL('../../target/debug/tollgate', import.meta.url));
// What the server may ask of clients, once the gate has a word in it.
const policy = process.env.TOLLGATE_SERVER_POLICY ?? '';

/** The one client metadata document that the suite knows. */
const DOCUMENT = 'https://conformance-test.local/client-metadata.json';

/** The `oauth` table for a scenario about tokens, from what the suite says of the gate's registration. */
function oauthTable() {
    if (!scenario.startsWith('auth/')) return '';
    const fields = { client_id: context.client_id, client_secret: context.client_secret, issuer: context.issuer };
    fields.private_key = context.private_key_pem;
    if (scenario.startsWith('auth/client-credentials-')) fields.grant = 'client_credentials';
    // Elsewhere the gate registers itself.
    if (scenario === 'auth/basic-cimd') fields.client_metadata_url = DOCUMENT;
    const written = Object.entries(fields).filter(([, value]) => value !== undefined);
    return ['[servers.mock.oauth]', ...written.map(([name, value]) => `${name} = ${JSON.stringify(value)}`)].join('\n');
}

/** Most times that the person allows the gate: one who is asked again and again gives up. */
const VISITS_MAX = 4;
let [visits, read] = [0, 0];

/** Whether the gate has said, since the person last looked, that it wants to be allowed. */
const wantsPerson = () => /token_trouble[^\n]*tollgate authorize mock/.test(gate.log().slice(read));

/** Allows the gate at its server, and waits until it has taken the token up. */
async function authorize() {
    read = gate.log().length;
    visits += 1;
    if (visits > VISITS_MAX || !(await gate.authorize())) throw new Error('the gate could not be authorized');
    for (const until = Date.now() + LISTED_MS; Date.now() < until; ) {
        const taken = gate.log().slice(read).indexOf('token_taken');
        if (taken >= 0) {
            read += taken;
            return;
        }
        await new Promise((done) => setTimeout(done, 20));
    }
}

async function connect(url) {
    const mode = version === '2026-07-28' ? { pin: version } : 'legacy';
    const capabilities = { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} };
    const client = new Client({ name: 'front', version: '1' }, { versionNegotiation: { mode }, capabilities });
    client.setRequestHandler('elicitation/create', ({ params }) => {
        return { action: 'accept', ...(params.requestedSchema && { content: fill(params.requestedSchema) }) };
    });
    client.setRequestHandler('sampling/createMessage', () => {
        return { role: 'assistant', content: { type: 'text', text: 'Paris' }, model: 'test', stopReason: 'endTurn' };
    });
    client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///test', name: 'test' }] }));
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    return client;
}

/** An error of one request must not keep the others from being made. */
async function attempt(what, work) {
    try {
        return await work();
    } catch (error) {
        console.error(`${what}: ${error.message}`);
        return undefined;
    }
}

/** A request that may tell the gate that it needs to be allowed more. */
async function attemptAllowed(what, work) {
    return attempt(what, async () => {
        try {
            return await work();
        } catch (error) {
            if (!error.message.includes('tollgate authorize mock')) throw error;
            await authorize();
            return await work();
        }
    });
}

/** Waits until the gate knows the server's tools, if it has some, and allows it there whenever it asks for that. The
 * SDK's client would answer from its cache. */
async function untilListed(url) {
    const _meta = {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientCapabilities': {},
    };
    const ask = {
        method: 'POST',
        headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            'mcp-protocol-version': '2026-07-28',
            'mcp-method': 'tools/list',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta } }),
    };
    for (let until = Date.now() + LISTED_MS; Date.now() < until; ) {
        const { result } = await (await fetch(url, ask)).json();
        if (result?.tools.length > 0) return;
        if (wantsPerson()) {
            await authorize();
            until = Date.now() + LISTED_MS;
        }
        await new Promise((done) => setTimeout(done, 50));
    }
}

async function drive(client) {
    const { tools } = await client.listTools();
    const options = { timeout: 8000 };
    const planned = toolCalls.length > 0
        ? toolCalls
        : tools.map((tool) => ({ name: tool.name, arguments: argumentsFor(tool, tools) }));
    for (const call of planned) await attemptAllowed(call.name, () => client.callTool(call, options));
    const { prompts, resources } = client.getServerCapabilities() ?? {};
    const listed = prompts && (await attempt('prompts/list', () => client.listPrompts()));
    for (const { name } of listed?.prompts ?? []) await attempt(name, () => client.getPrompt({ name }, options));
    const found = resources && (await attempt('resources/list', () => client.listResources()));
    for (const { uri } of found?.resources ?? []) await attempt(uri, () => client.readResource({ uri }, options));
}

const gate = await startGate(binary, `url = ${JSON.stringify(upstream)}\n${policy}\n${oauthTable()}`);
try {
    await untilListed(gate.url);
    const client = await connect(gate.url);
    await drive(client);
    await client.close();
} finally {
    await gate.stop();
}
