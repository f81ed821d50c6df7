// Drives a server with the official TypeScript SDK v2, in the era the job asks for. See README.md for the job format.

import { drive, headers, job, require } from './job.mjs';
import { answerQuestions, capabilities } from './steps.mjs';

const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const mode = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } }[job.era];
const about = { name: 'tollgate-ts-v2', version: '1.0.0' };
const client = new Client(about, { versionNegotiation: { mode }, capabilities });
answerQuestions((method, handler) => client.setRequestHandler(method, handler));
const [command, ...args] = job.command ?? [];
const transport = job.command
    ? new StdioClientTransport({ command, args, env: job.env, cwd: job.cwd })
    : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await drive(client, () => client.getNegotiatedProtocolVersion(), {
    callTool: ({ name, arguments: given }, options) => client.callTool({ name, arguments: given }, options),
    onTold: (method, handler) => client.setNotificationHandler(method, handler),
    async subscribe(filter) {
        if (client.getNegotiatedProtocolVersion() === '2026-07-28') {
            const subscription = await client.listen(filter);
            return () => subscription.close();
        }
        const [uri] = filter.resourceSubscriptions ?? [];
        if (uri === undefined) return undefined;
        await client.subscribeResource({ uri });
        return () => client.unsubscribeResource({ uri });
    },
});
