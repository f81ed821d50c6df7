// What the JavaScript drivers share: where the pinned packages are, reading the job, writing the report.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

/** Packages come from tests/.cache, which tests/setup fills. */
export const require = createRequire(new URL('../.cache/npm/', import.meta.url));

export const job = JSON.parse(readFileSync(0, 'utf8'));
export const headers = job.key ? { Authorization: `Bearer ${job.key}` } : {};

/** Walks every page, makes every call, runs every step, prints the report. */
export async function drive(client, version, sdk) {
    const { asked, runSteps } = await import('./steps.mjs');
    const tools = [];
    let cursor;
    do {
        const page = await client.listTools(cursor === undefined ? undefined : { cursor });
        tools.push(...page.tools);
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    const results = [];
    for (const each of job.calls ?? []) {
        const progress = [];
        const onprogress = ({ progress: done, total }) => progress.push([done, total]);
        try {
            const result = await sdk.callTool(each, { onprogress, timeout: 60_000 });
            results.push({ name: each.name, result, progress });
        } catch (error) {
            if (typeof error.code !== 'number') throw error;
            results.push({ name: each.name, error: { code: error.code, message: error.message } });
        }
    }
    const steps = await runSteps(client, sdk);
    const report = JSON.stringify({ version: version(), tools, results, steps, asked });
    await client.close();
    console.log(report);
}
