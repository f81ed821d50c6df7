"""Raw MCP over HTTP for the soak: one connection a request, answers read from JSON or from an event stream."""

import http.client
import itertools
import json

MODERN, LEGACY = "2026-07-28", "2025-11-25"
PREFIX = "io.modelcontextprotocol"
# Longer than anything may take here: a request that is still open then is stuck.
STUCK_S = 30
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
CAPABILITIES = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
ids = itertools.count(1)


class Stuck(Exception):
    """Nothing came in time."""


class Stream:
    """A request under way: its events, one by one."""

    def __init__(self, port, method, path, body, headers, is_left=False):
        """With `is_left` nobody waits for the answer: the connection is there to be closed."""
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STUCK_S)
        self.response = None
        try:
            self.connection.request(method, path, body, headers)
            if is_left:
                return
            self.response = self.connection.getresponse()
        except TimeoutError as error:
            self.connection.close()
            raise Stuck(f"{method} {path}") from error
        except BaseException:
            self.connection.close()
            raise
        self.status = self.response.status
        self.is_stream = "event-stream" in self.response.headers.get("content-type", "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # The response holds the socket too: without closing it the gate would not see the end.
        if self.response is not None:
            self.response.close()
        self.connection.close()

    def events(self):
        """Messages until the stream ends."""
        try:
            if not self.is_stream:
                body = self.response.read()
                if body:
                    yield json.loads(body)
                return
            data = []
            for line in self.response:
                text = line.decode().rstrip("\r\n")
                if text.startswith("data:"):
                    data.append(text[5:].strip())
                elif not text and data:
                    words, data = "\n".join(data), []
                    if words:
                        yield json.loads(words)
        except TimeoutError as error:
            raise Stuck("an event stream") from error

    def first_id(self):
        """The id of the first event; nothing where the answer is no stream."""
        try:
            for line in self.response:
                text = line.decode().rstrip("\r\n")
                if text.startswith("id:"):
                    return text[3:].strip()
        except TimeoutError as error:
            raise Stuck("the first event") from error
        return None

    def answer(self, number):
        """The message that answers, where the stream does not end first."""
        for message in self.events():
            if message.get("id") == number and "method" not in message:
                return message
        return {"error": {"code": self.status, "message": "the stream ended"}}


class Modern:
    """A client of 2026-07-28."""

    def __init__(self, port, path):
        self.port, self.path = port, path

    def open(self, method, params, is_left=False):
        number = next(ids)
        meta = {f"{PREFIX}/protocolVersion": MODERN, f"{PREFIX}/clientCapabilities": CAPABILITIES}
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": method,
        }
        if method in NAMED:
            headers["Mcp-Name"] = params[NAMED[method]]
        return number, Stream(self.port, "POST", self.path, json.dumps(message), headers, is_left)

    def ask(self, method, params):
        number, stream = self.open(method, params)
        with stream:
            return stream.answer(number)


class Session:
    """A legacy session."""

    def __init__(self, port, path):
        self.port, self.path, self.id = port, path, None
        params = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES}
        params["clientInfo"] = {"name": "soak", "version": "1"}
        number, stream = self.open("initialize", params)
        with stream:
            self.hello = stream.answer(number)
            self.id = stream.response.headers.get("mcp-session-id")
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def headers(self):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.id is not None:
            headers |= {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": LEGACY}
        return headers

    def open(self, method, params, is_left=False):
        number = next(ids)
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return number, Stream(self.port, "POST", self.path, json.dumps(message), self.headers(), is_left)

    def send(self, message):
        """A notification, or an answer to the server."""
        with Stream(self.port, "POST", self.path, json.dumps(message), self.headers()) as stream:
            return stream.status

    def ask(self, method, params, answer=None):
        """A request; what the server asks meanwhile goes to `answer`."""
        number, stream = self.open(method, params)
        with stream:
            for message in stream.events():
                if "method" in message and "id" in message and answer is not None:
                    result = answer(message["method"], message.get("params", {}))
                    self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
                elif message.get("id") == number and "method" not in message:
                    return message
        return {"error": {"code": stream.status, "message": "the stream ended"}}

    def listen(self):
        return Stream(self.port, "GET", self.path, None, self.headers())

    def come_back(self, event):
        """The stream of an event, from there on."""
        return Stream(self.port, "GET", self.path, None, self.headers() | {"Last-Event-ID": event})

    def end(self):
        Stream(self.port, "DELETE", self.path, None, self.headers()).close()
