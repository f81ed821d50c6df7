// Drives a server with the official TypeScript SDK v1: the handshake only, over HTTP+SSE where
// the transport is "sse". See README.md for the job format.

import { drive, headers, job, require } from './job.mjs';
import { answerQuestions, capabilities } from './steps.mjs';

const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = require('@modelcontextprotocol/sdk/client/sse.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const schemas = require('@modelcontextprotocol/sdk/types.js');

/** This SDK knows methods by their schemas. */
const SCHEMAS = {
    'elicitation/create': schemas.ElicitRequestSchema,
    'sampling/createMessage': schemas.CreateMessageRequestSchema,
    'roots/list': schemas.ListRootsRequestSchema,
    'notifications/resources/updated': schemas.ResourceUpdatedNotificationSchema,
    'notifications/resources/list_changed': schemas.ResourceListChangedNotificationSchema,
    'notifications/tools/list_changed': schemas.ToolListChangedNotificationSchema,
    'notifications/prompts/list_changed': schemas.PromptListChangedNotificationSchema,
};

const client = new Client({ name: 'tollgate-ts-v1', version: '1.0.0' }, { capabilities });
answerQuestions((method, handler) => client.setRequestHandler(SCHEMAS[method], handler));
const [command, ...args] = job.command ?? [];
const Http = job.transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
const transport = job.command
    ? new StdioClientTransport({ command, args, env: job.env, cwd: job.cwd })
    : new Http(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await drive(client, () => transport.protocolVersion ?? 'handshake', {
    callTool: ({ name, arguments: given }, options) => client.callTool({ name, arguments: given }, undefined, options),
    onTold: (method, handler) => client.setNotificationHandler(SCHEMAS[method], handler),
    async subscribe({ resourceSubscriptions: [uri] = [] }) {
        if (uri === undefined) return undefined;
        await client.subscribeResource({ uri });
        return () => client.unsubscribeResource({ uri });
    },
});
