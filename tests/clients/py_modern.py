"""Drives a server with the official Python SDK 2: modern first or as asked. See README.md for the job format."""

import asyncio
import json
import sys

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from steps import Answers, Steps, dump

TIMEOUT_S = 60


class Sdk:
    """What the steps need of this SDK."""

    Error = MCPError

    def __init__(self):
        self.told = []
        self.news = anyio.Event()

    async def hear(self, message):
        """The client's handler for everything the server says unasked."""
        if not isinstance(message, Exception):
            self.told.append(message)
            self.news.set()
            self.news = anyio.Event()

    async def call(self, client, step, on_progress):
        return await client.call_tool(step["name"], step.get("arguments"), progress_callback=on_progress)

    async def cancelled(self, client, step):
        with anyio.move_on_after(step["cancel_ms"] / 1000):
            await client.call_tool(step["name"], step.get("arguments"))
            return False
        return True

    async def watch(self, client, step):
        uri = step.get("uri")
        if client.protocol_version >= "2026":
            wanted = {"resource_subscriptions": [uri]} if uri else {f"{step['list']}_list_changed": True}
            async with client.listen(**wanted) as events:
                await client.call_tool(step["call"], {})
                await anext(events)
            return
        method = "notifications/resources/updated" if uri else f"notifications/{step['list']}/list_changed"
        if uri is not None:
            await client.subscribe_resource(uri)
        self.told.clear()
        await client.call_tool(step["call"], {})
        while not any(told.method == method and (uri is None or str(told.params.uri) == uri) for told in self.told):
            await self.news.wait()
        if uri is not None:
            await client.unsubscribe_resource(uri)


async def call(client, job):
    """One call's result, or the JSON-RPC error it ended in, with the progress that was told on the way."""
    progress = []

    async def on_progress(done, total, message):
        progress.append([done, total])

    try:
        result = await client.call_tool(job["name"], job.get("arguments"), progress_callback=on_progress)
        return {"name": job["name"], "result": dump(result), "progress": progress}
    except MCPError as error:
        return {"name": job["name"], "error": {"code": error.error.code, "message": error.error.message}}


async def run(job):
    if "command" in job:
        command, *args = job["command"]
        target = StdioServerParameters(command=command, args=args, env=job.get("env"), cwd=job.get("cwd"))
        return await drive(target, job)
    headers = {"Authorization": f"Bearer {job['key']}"} if job.get("key") else {}
    async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S) as http:
        return await drive(streamable_http_client(job["url"], http_client=http), job)


async def drive(target, job):
    mode = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}[job["era"]]
    answers, sdk = Answers(job, types), Sdk()
    more = {"message_handler": sdk.hear, **answers.callbacks()}
    async with Client(target, mode=mode, read_timeout_seconds=TIMEOUT_S, **more) as client:
        tools, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [dump(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        results = [await call(client, each) for each in job.get("calls", [])]
        steps = await Steps(client, types, sdk).run(job.get("steps", []))
        report = {"version": client.protocol_version, "tools": tools, "results": results}
        return {**report, "steps": steps, "asked": answers.asked}


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
