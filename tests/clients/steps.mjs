// What the JavaScript drivers do beside calling tools: the steps of a job, and its answers to what servers ask.

import { job } from './job.mjs';

const TOLD_MS = 10_000;
/** Time for word of a cancellation to reach the server before the next step. */
const HEARD_MS = 500;
const { answers = {} } = job;
/** What servers asked for, in order. */
export const asked = [];

/** Declares what the job has answers to, and nothing else. */
export const capabilities = {
    ...(answers.elicitation !== undefined && { elicitation: { form: {}, url: {} } }),
    ...(answers.sampling !== undefined && { sampling: {} }),
    ...(answers.roots !== undefined && { roots: {} }),
};

function elicited({ mode = 'form', requestedSchema }) {
    if (typeof answers.elicitation === 'string') return { action: answers.elicitation };
    if (mode === 'url') return { action: 'accept' };
    const names = Object.keys(requestedSchema.properties).filter((name) => name in answers.elicitation);
    return { action: 'accept', content: Object.fromEntries(names.map((name) => [name, answers.elicitation[name]])) };
}

const sampled = () => {
    const content = { type: 'text', text: answers.sampling };
    return { role: 'assistant', content, model: 'test-model', stopReason: 'endTurn' };
};
const rooted = () => ({ roots: answers.roots.map((uri) => ({ uri })) });

/** Hands every question to its answer; `on(method, handler)` is the SDK's way to say so. */
export function answerQuestions(on) {
    const answer = (method, handle) => {
        on(method, ({ params = {} }) => {
            asked.push({ method, message: params.message, mode: params.mode, url: params.url });
            return handle(params);
        });
    };
    if (capabilities.elicitation) answer('elicitation/create', elicited);
    if (capabilities.sampling) answer('sampling/createMessage', sampled);
    if (capabilities.roots) answer('roots/list', rooted);
}

async function pages(list, key) {
    const found = [];
    let cursor;
    do {
        const page = await list(cursor === undefined ? undefined : { cursor });
        found.push(...page[key]);
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    return found;
}

const LISTS = {
    tools: ['listTools', 'tools'],
    prompts: ['listPrompts', 'prompts'],
    resources: ['listResources', 'resources'],
    templates: ['listResourceTemplates', 'resourceTemplates'],
};

/** Waits for word of a change that a call brings about. */
async function watch(client, { uri, list, call }, { subscribe, onTold }) {
    const method = uri === undefined ? `notifications/${list}/list_changed` : 'notifications/resources/updated';
    let timer;
    const told = new Promise((done, failed) => {
        onTold(method, ({ params }) => (uri === undefined || params.uri === uri) && done({ told: method, uri }));
        timer = setTimeout(() => failed(new Error(`not told of ${method}`)), TOLD_MS);
    });
    told.catch(() => {});
    const wanted = uri === undefined ? { [`${list}ListChanged`]: true } : { resourceSubscriptions: [uri] };
    const stop = await subscribe(wanted);
    await client.callTool({ name: call, arguments: {} });
    const result = await told;
    clearTimeout(timer);
    await stop?.();
    return result;
}

async function call(client, { name, arguments: given, cancel_ms: after }, callTool) {
    const progress = [];
    const options = { timeout: 60_000, onprogress: ({ progress: done, total }) => progress.push([done, total]) };
    if (after === undefined) return { result: await callTool({ name, arguments: given }, options), progress };
    const controller = new AbortController();
    setTimeout(() => controller.abort('no longer wanted'), after);
    const ended = callTool({ name, arguments: given }, { ...options, signal: controller.signal });
    const isCancelled = await ended.then(
        () => false,
        () => true,
    );
    await new Promise((done) => setTimeout(done, HEARD_MS));
    return { cancelled: isCancelled };
}

const STEPS = {
    list: async (client, { what }) => {
        const [method, key] = LISTS[what];
        return { result: await pages((params) => client[method](params), key) };
    },
    read: async (client, { uri }) => ({ result: await client.readResource({ uri }) }),
    get: async (client, { name, arguments: given }) => ({ result: await client.getPrompt({ name, arguments: given }) }),
    complete: async (client, { ref, argument }) => ({ result: await client.complete({ ref, argument }) }),
    call: (client, step, { callTool }) => call(client, step, callTool),
    watch,
};

/** Runs the job's steps in order; an error of one does not end the others. */
export async function runSteps(client, sdk) {
    const done = [];
    for (const step of job.steps ?? []) {
        try {
            done.push({ do: step.do, ...(await STEPS[step.do](client, step, sdk)) });
        } catch (error) {
            const code = typeof error.code === 'number' ? error.code : 0;
            done.push({ do: step.do, error: { code, message: error.message, data: error.data } });
        }
    }
    return done;
}
