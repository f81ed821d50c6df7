// Drives a server with the official TypeScript SDK v1: the handshake only. See README.md for the job format.

import { drive, headers, job, require } from './job.mjs';

const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');

const client = new Client({ name: 'tollgate-ts-v1', version: '1.0.0' });
const [command, ...args] = job.command ?? [];
const transport = job.command
    ? new StdioClientTransport({ command, args, env: job.env, cwd: job.cwd })
    : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await drive(
    client,
    () => transport.protocolVersion ?? 'handshake',
    ({ name, arguments: given }, options) => client.callTool({ name, arguments: given }, undefined, options),
);
