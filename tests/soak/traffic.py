"""What the soak's clients do: mixed requests of both eras, some answered, some left, some cancelled."""

import collections
import json
import random
import threading
import time

from wire import Modern, Session, Stuck

INPUT = "test_input_required_result_"


class Wrong(Exception):
    """An answer that is not this request's."""


def answer(method, name):
    """The client's answer to what a server asks."""
    if method == "elicitation/create":
        return {"action": "accept", "content": {"name": name, "color": "blue", "ok": True}}
    if method == "sampling/createMessage":
        return {"role": "assistant", "content": {"type": "text", "text": name}, "model": "soak"}
    return {"roots": [{"uri": f"file:///{name}"}]}


def check(message, word):
    """True when the answer is good and this request's own; an error is the fault of a server that was killed."""
    result = message.get("result")
    if result is None or result.get("isError"):
        return False
    if word not in json.dumps(result):
        raise Wrong(f"no {word} in {json.dumps(result)[:300]}")
    return True


class Worker(threading.Thread):
    """One client after another, until it is told to stop."""

    def __init__(self, port, servers, number, stop):
        super().__init__(daemon=True)
        self.port, self.servers, self.stop = port, servers, stop
        self.random = random.Random(number)
        self.good, self.bad = collections.Counter(), collections.Counter()
        self.faults = []
        self.kinds = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}

    def run(self):
        kinds = sorted(self.kinds)
        while not self.stop.is_set():
            kind = self.random.choice(kinds)
            path = f"/mcp/{self.random.choice(self.servers)}"
            try:
                is_good = self.kinds[kind](path, f"w{self.random.getrandbits(48):x}")
                (self.good if is_good else self.bad)[kind] += 1
            except (Stuck, Wrong) as fault:
                self.faults.append(f"{kind} at {path}: {type(fault).__name__}: {fault}")
            except (OSError, ValueError) as error:
                self.faults.append(f"{kind} at {path}: {error!r}")

    def do_modern_call(self, path, _):
        params = {"name": "test_simple_text", "arguments": {}}
        return check(Modern(self.port, path).ask("tools/call", params), "simple text")

    def do_modern_read(self, path, word):
        params = {"uri": f"test://template/{word}/data"}
        return check(Modern(self.port, path).ask("resources/read", params), word)

    def do_modern_prompt(self, path, word):
        params = {"name": "test_prompt_with_arguments", "arguments": {"arg1": word, "arg2": "b"}}
        return check(Modern(self.port, path).ask("prompts/get", params), word)

    def do_modern_progress(self, path, _):
        params = {"name": "test_tool_with_progress", "arguments": {}}
        return check(Modern(self.port, path).ask("tools/call", params), "Progress")

    def do_modern_elicitation(self, path, word):
        client, params = Modern(self.port, path), {"name": f"{INPUT}elicitation", "arguments": {}}
        for _ in range(4):
            message = client.ask("tools/call", params)
            result = message.get("result", {})
            if result.get("resultType") != "input_required":
                return check(message, word)
            asked = result.get("inputRequests", {}).items()
            params["inputResponses"] = {key: answer(one["method"], word) for key, one in asked}
            params["requestState"] = result.get("requestState")
        return False

    def do_modern_unanswered(self, path, _):
        params = {"name": f"{INPUT}multiple_inputs", "arguments": {}}
        message = Modern(self.port, path).ask("tools/call", params)
        return message.get("result", {}).get("resultType") == "input_required"

    def do_modern_listen(self, path, _):
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://watched-resource"]}
        _, stream = Modern(self.port, path).open("subscriptions/listen", {"notifications": wanted})
        with stream:
            first = next(stream.events(), {})
            time.sleep(self.random.uniform(0, 1))
        return first.get("method") == "notifications/subscriptions/acknowledged"

    def do_modern_disconnect(self, path, _):
        params = {"name": "test_wait", "arguments": {"ms": 20000}}
        _, stream = Modern(self.port, path).open("tools/call", params, is_left=True)
        with stream:
            time.sleep(self.random.uniform(0.05, 0.4))
        return True

    def session(self, path):
        session = Session(self.port, path)
        return session if session.id is not None else None

    def do_legacy_calls(self, path, word):
        session = self.session(path)
        if session is None:
            return False
        good = [check(session.ask("tools/call", {"name": "test_simple_text", "arguments": {}}), "simple text")]
        good.append(check(session.ask("resources/read", {"uri": f"test://template/{word}/data"}), word))
        session.end()
        return all(good)

    def do_legacy_elicitation(self, path, word):
        session = self.session(path)
        if session is None:
            return False
        params = {"name": f"{INPUT}elicitation", "arguments": {}}
        is_good = check(session.ask("tools/call", params, lambda method, _: answer(method, word)), word)
        session.end()
        return is_good

    def do_legacy_unanswered(self, path, _):
        session = self.session(path)
        if session is None:
            return False
        number, stream = session.open("tools/call", {"name": f"{INPUT}sampling", "arguments": {}})
        with stream:
            message = next(stream.events(), {})
        is_question = message.get("method") == "sampling/createMessage"
        if self.random.random() < 0.5:
            session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
        session.end()
        return is_question

    def do_legacy_cancel(self, path, _):
        session = self.session(path)
        if session is None:
            return False
        number, stream = session.open("tools/call", {"name": "test_wait", "arguments": {"ms": 20000}}, is_left=True)
        time.sleep(self.random.uniform(0.05, 0.4))
        status = session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
        stream.close()
        session.end()
        return status == 202

    def do_legacy_listen(self, path, _):
        session = self.session(path)
        if session is None:
            return False
        with session.listen() as stream:
            is_open = stream.status == 200
            session.ask("resources/subscribe", {"uri": "test://watched-resource"})
            time.sleep(self.random.uniform(0, 1))
        session.end()
        return is_open

    def do_legacy_comes_back(self, path, _):
        session = self.session(path)
        if session is None:
            return False
        arguments = {"ms": self.random.randrange(200, 1500)}
        number, stream = session.open("tools/call", {"name": "test_wait", "arguments": arguments})
        with stream:
            event = stream.first_id()
        is_good = False
        if event is not None:
            time.sleep(self.random.uniform(0, 2))
            with session.come_back(event) as stream:
                is_good = check(stream.answer(number), f"waited {arguments['ms']} ms")
        session.end()
        return is_good
