"""Drives a server with the official Python SDK 1.30: the handshake only, over HTTP+SSE where the transport is
"sse". See README.md for the job format."""

import asyncio
import json
import sys
from datetime import timedelta

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

from steps import Answers, Steps, dump

TIMEOUT = timedelta(seconds=60)


class Sdk:
    """What the steps need of this SDK."""

    Error = McpError

    def __init__(self):
        self.told = []
        self.news = anyio.Event()

    async def hear(self, message):
        """The session's handler for everything the server says unasked."""
        if isinstance(message, types.ServerNotification):
            self.told.append(message.root)
            self.news.set()
            self.news = anyio.Event()

    async def call(self, session, step, on_progress):
        return await session.call_tool(step["name"], step.get("arguments"), TIMEOUT, on_progress)

    async def cancelled(self, session, step):
        """This SDK never says that it no longer wants something; so it is said for it, under the id it used."""
        with anyio.move_on_after(step["cancel_ms"] / 1000):
            await session.call_tool(step["name"], step.get("arguments"))
            return False
        params = types.CancelledNotificationParams(requestId=session._request_id - 1)
        await session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        return True

    async def watch(self, session, step):
        uri = step.get("uri")
        if uri is not None:
            await session.subscribe_resource(uri)
        method = "notifications/resources/updated" if uri else f"notifications/{step['list']}/list_changed"
        self.told.clear()
        await session.call_tool(step["call"], {})
        while not any(told.method == method and (uri is None or str(told.params.uri) == uri) for told in self.told):
            await self.news.wait()
        if uri is not None:
            await session.unsubscribe_resource(uri)


async def call(session, job):
    """One call's result, or the JSON-RPC error it ended in, with the progress that was told on the way."""
    progress = []

    async def on_progress(done, total, message):
        progress.append([done, total])

    try:
        result = await session.call_tool(job["name"], job.get("arguments"), TIMEOUT, on_progress)
        return {"name": job["name"], "result": dump(result), "progress": progress}
    except McpError as error:
        return {"name": job["name"], "error": {"code": error.error.code, "message": error.error.message}}


async def run(job):
    if "command" in job:
        command, *args = job["command"]
        target = StdioServerParameters(command=command, args=args, env=job.get("env"), cwd=job.get("cwd"))
        async with stdio_client(target) as (read, write):
            return await drive(read, write, job)
    headers = {"Authorization": f"Bearer {job['key']}"} if job.get("key") else {}
    connect = sse_client if job.get("transport") == "sse" else streamablehttp_client
    async with connect(job["url"], headers=headers) as (read, write, *_):
        return await drive(read, write, job)


async def drive(read, write, job):
    answers, sdk = Answers(job, types), Sdk()
    more = {"message_handler": sdk.hear, **answers.callbacks()}
    async with ClientSession(read, write, read_timeout_seconds=TIMEOUT, **more) as session:
        hello = await session.initialize()
        tools, cursor = [], None
        while True:
            page = await session.list_tools(cursor)
            tools += [dump(tool) for tool in page.tools]
            cursor = page.nextCursor
            if cursor is None:
                break
        await session.send_ping()
        results = [await call(session, each) for each in job.get("calls", [])]
        steps = await Steps(session, types, sdk).run(job.get("steps", []))
        report = {"version": hello.protocolVersion, "tools": tools, "results": results}
        return {**report, "steps": steps, "asked": answers.asked}


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
