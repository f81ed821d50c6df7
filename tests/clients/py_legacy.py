"""Drives a server with the official Python SDK 1.30: the handshake only. See README.md for the job format."""

import asyncio
import json
import sys
from datetime import timedelta

from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

TIMEOUT = timedelta(seconds=60)


def dump(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


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
    async with streamablehttp_client(job["url"], headers=headers) as (read, write, _):
        return await drive(read, write, job)


async def drive(read, write, job):
    async with ClientSession(read, write, read_timeout_seconds=TIMEOUT) as session:
        hello = await session.initialize()
        tools, cursor = [], None
        while True:
            page = await session.list_tools(cursor)
            tools += [dump(tool) for tool in page.tools]
            cursor = page.nextCursor
            if cursor is None:
                break
        await session.send_ping()
        results = [await call(session, each) for each in job["calls"]]
        return {"version": hello.protocolVersion, "tools": tools, "results": results}


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
