"""Drives a server with the official Python SDK 2: modern first or as asked. See README.md for the job format."""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

TIMEOUT_S = 60


def dump(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


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
    async with Client(target, mode=mode, read_timeout_seconds=TIMEOUT_S) as client:
        tools, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [dump(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        results = [await call(client, each) for each in job["calls"]]
        return {"version": client.protocol_version, "tools": tools, "results": results}


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
