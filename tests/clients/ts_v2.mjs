// Drives a server with the official TypeScript SDK v2, in the era the job asks for. See README.md for the job format.

import { drive, headers, job, require } from './job.mjs';

const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const mode = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } }[job.era];
const client = new Client({ name: 'tollgate-ts-v2', version: '1.0.0' }, { versionNegotiation: { mode } });
const [command, ...args] = job.command ?? [];
const transport = job.command
    ? new StdioClientTransport({ command, args, env: job.env, cwd: job.cwd })
    : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await drive(
    client,
    () => client.getNegotiatedProtocolVersion(),
    ({ name, arguments: given }, options) => client.callTool({ name, arguments: given }, options),
);
