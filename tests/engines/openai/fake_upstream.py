"""An OpenAI-compatible server that misbehaves as it is told, on a real socket.

It tells a story: its n-th token is the story's n-th, counted from a prompt of `PROMPT` tokens, whatever the seed is.
So a sample that goes on elsewhere after a cut must still be the story, with nothing lost and nothing twice.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Literal

from deliberate.bench.processes import free_port
from deliberate.engines.protocol import Tokenizer

PROMPT = 40
"""Tokens of every prompt."""


@dataclass(frozen=True)
class Fault:
    """How one answer goes wrong."""

    after: int = 0
    """Tokens of each sample that are told before it."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    """Sent instead of what should follow."""
    then: Literal["end", "hang", "drop"] = "end"


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class FakeUpstream:
    """Runs in a thread of its own between `start` and `kill`, each as often as wanted."""

    tokenizer: Tokenizer
    story: str
    owner: str = "vllm"
    models: Sequence[str] = ("story",)
    chunks: Sequence[Mapping[str, Any]] = ()
    """Deltas that a chat is answered with, instead of the story in pieces."""
    finish_reason: str = "stop"
    """Of a chat."""
    alternatives: Mapping[str, float] = field(default_factory=dict[str, float])
    """Log-probabilities of a chat's first token, for who asks for them."""
    token_seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list[Fault])
    """Of the next answers, one each."""
    fault_of: Callable[[Mapping[str, Any]], Fault | None] = lambda body: None
    """Of every request after those, by its body."""
    model_list: Fault | None = None
    """Sent instead of the list of models."""
    port: int = field(default_factory=free_port)
    asked: list[Asked] = field(default_factory=list[Asked])
    """Every POST."""
    running: int = 0
    """Answers on their way."""
    tells_usage: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> "FakeUpstream":
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        server = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result()
        return self

    def kill(self) -> None:
        """As SIGKILL does: the port is closed and every connection is reset."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = head.strip().split("\r\n")
        method, path, _ = request.split()
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if method == "GET":
            return await self._list(path, writer)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.asked.append(Asked(path, headers, body))
        fault = self.faults.pop(0) if self.faults else self.fault_of(body)
        self.running += 1
        try:
            told = self._completion(body, fault) if path.endswith("/v1/completions") else self._chat(body, fault)
            await self._tell(writer, reader, told, fault)
        finally:
            self.running -= 1

    async def _list(self, path: str, writer: asyncio.StreamWriter) -> None:
        if self.model_list is not None and path.endswith("/models"):
            return _whole(writer, self.model_list.status, {}, self.model_list.body)
        cards = [{"id": name, "owned_by": self.owner, "max_model_len": 512} for name in self.models]
        _whole(writer, 200, {}, json.dumps({"data": cards}).encode())

    async def _tell(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, told: AsyncIterator[Any], fault: Fault | None
    ) -> None:
        if fault is not None and (fault.status != 200 or "content-type" in fault.headers):
            return _whole(writer, fault.status, fault.headers, fault.body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        async for event in told:
            _chunk(writer, b"data: " + json.dumps(event).encode() + b"\n\n")
            await writer.drain()
            await self._pause(reader)
        if fault is None:
            _chunk(writer, b"data: [DONE]\n\n")
        elif fault.body:
            _chunk(writer, fault.body)
        if fault is not None and fault.then == "drop":
            await writer.drain()
            writer.transport.abort()
            raise ConnectionResetError
        if fault is not None and fault.then == "hang":
            await reader.read(1)
            raise ConnectionResetError
        _chunk(writer, b"")

    async def _pause(self, reader: asyncio.StreamReader) -> None:
        """Notices, as real servers do, that the client went away."""
        await asyncio.sleep(self.token_seconds)
        if reader.at_eof():
            raise ConnectionResetError

    async def _completion(self, body: Mapping[str, Any], fault: Fault | None) -> AsyncIterator[Any]:
        story = self.tokenizer.encode(self.story)
        begin = len(body["prompt"]) - PROMPT
        end = min(len(story), begin + body["max_tokens"])
        for at in range(begin, end):
            if fault is not None and at == begin + fault.after:
                return
            # Like vLLM it keeps back what may become a stop string; it leaves stopping to the client.
            held = max(map(len, body["stop"]), default=1) - 1
            before, after = (self.tokenizer.decode(story[begin:stop]).rstrip("\ufffd") for stop in (at, at + 1))
            text = after[max(0, len(before) - held) : max(0, len(after) - held)]
            for index in range(body["n"]):
                yield _completion_event(index, text, story[at], "length" if at == end - 1 else None)
        if self.tells_usage:
            yield {"choices": [], "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": end - begin}}

    async def _chat(self, body: Mapping[str, Any], fault: Fault | None) -> AsyncIterator[Any]:
        deltas = self.chunks or [{"content": letter} for letter in self.story]
        for at, delta in enumerate(deltas):
            if fault is not None and at == fault.after:
                return
            told = self._logprobs() if body.get("logprobs") and at == 0 else {}
            yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None, **told}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish_reason}]}
        if self.tells_usage:
            yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3 * len(deltas)}}

    def _logprobs(self) -> dict[str, Any]:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in self.alternatives.items()]
        return {"logprobs": {"content": [{"token": "?", "logprob": -9.0, "bytes": None, "top_logprobs": top}]}}


def _completion_event(index: int, text: str, token: int, finish: str | None) -> dict[str, Any]:
    logprobs = {"token_logprobs": [-0.5], "top_logprobs": [{f"token_id:{token}": -0.5}]}
    choice = {"index": index, "text": text, "token_ids": [token], "logprobs": logprobs}
    return {"choices": [{**choice, "finish_reason": finish, "stop_reason": None}]}


def _whole(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: bytes) -> None:
    lines = {"content-type": "application/json", **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode() + body)


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
