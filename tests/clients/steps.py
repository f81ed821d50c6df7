"""What the Python drivers do beside calling tools: the steps of a job, and its answers to what servers ask."""

import anyio

TOLD_S = 10
# Time for word of a cancellation to reach the server before the next step.
HEARD_S = 0.5
LISTS = {
    "tools": ("list_tools", "tools"),
    "prompts": ("list_prompts", "prompts"),
    "resources": ("list_resources", "resources"),
    "templates": ("list_resource_templates", "resourceTemplates"),
}


def dump(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


class Answers:
    """Callbacks for what the job has answers to; the SDKs declare just those. `asked` keeps the questions."""

    def __init__(self, job, types):
        self.answers = job.get("answers", {})
        self.types = types
        self.asked = []

    def callbacks(self):
        table = {
            "elicitation": ("elicitation_callback", self.elicit),
            "sampling": ("sampling_callback", self.sample),
            "roots": ("list_roots_callback", self.roots),
        }
        return dict(table[kind] for kind in self.answers)

    def note(self, method, params=None):
        fields = dump(params) if params else {}
        found = {key: fields.get(key) for key in ("message", "mode", "url")}
        self.asked.append({"method": method, **{key: value for key, value in found.items() if value is not None}})
        return fields

    async def elicit(self, _context, params):
        fields = self.note("elicitation/create", params)
        answer = self.answers["elicitation"]
        if isinstance(answer, str):
            return self.types.ElicitResult(action=answer)
        if fields.get("mode") == "url":
            return self.types.ElicitResult(action="accept")
        names = [name for name in fields["requestedSchema"]["properties"] if name in answer]
        return self.types.ElicitResult(action="accept", content={name: answer[name] for name in names})

    async def sample(self, _context, params):
        self.note("sampling/createMessage", params)
        content = self.types.TextContent(type="text", text=self.answers["sampling"])
        return self.types.CreateMessageResult(role="assistant", content=content, model="test-model")

    async def roots(self, _context):
        self.note("roots/list")
        return self.types.ListRootsResult(roots=[self.types.Root(uri=uri) for uri in self.answers["roots"]])


class Steps:
    """Runs steps on a session. `sdk` has what differs: `call`, `watch`, and the error with a JSON-RPC code."""

    def __init__(self, session, types, sdk):
        self.session, self.types, self.sdk = session, types, sdk

    async def run(self, steps):
        done = []
        for step in steps:
            try:
                done.append({"do": step["do"], **await getattr(self, step["do"])(step)})
            except self.sdk.Error as error:
                found = {"code": error.error.code, "message": error.error.message, "data": error.error.data}
                done.append({"do": step["do"], "error": found})
            except Exception as error:  # the other steps still have something to tell
                done.append({"do": step["do"], "error": {"code": 0, "message": repr(error), "data": None}})
        return done

    async def list(self, step):
        method, key = LISTS[step["what"]]
        found, cursor = [], None
        while True:
            page = dump(await getattr(self.session, method)(cursor=cursor))
            found += page[key]
            cursor = page.get("nextCursor")
            if cursor is None:
                return {"result": found}

    async def read(self, step):
        return {"result": dump(await self.session.read_resource(step["uri"]))}

    async def get(self, step):
        return {"result": dump(await self.session.get_prompt(step["name"], step.get("arguments")))}

    async def complete(self, step):
        is_prompt = step["ref"]["type"] == "ref/prompt"
        kind = self.types.PromptReference if is_prompt else self.types.ResourceTemplateReference
        return {"result": dump(await self.session.complete(kind(**step["ref"]), step["argument"]))}

    async def call(self, step):
        if "cancel_ms" in step:
            is_cancelled = await self.sdk.cancelled(self.session, step)
            await anyio.sleep(HEARD_S)
            return {"cancelled": is_cancelled}
        progress = []

        async def on_progress(done, total, message):
            progress.append([done, total])

        return {"result": dump(await self.sdk.call(self.session, step, on_progress)), "progress": progress}

    async def watch(self, step):
        with anyio.fail_after(TOLD_S):
            await self.sdk.watch(self.session, step)
        if "uri" in step:
            return {"told": "notifications/resources/updated", "uri": step["uri"]}
        return {"told": f"notifications/{step['list']}/list_changed"}
