"""vLLM's AsyncLLM: its life, its errors in the project's words, what it reports."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
import asyncio
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from vllm.exceptions import GracefulHTTPError, VLLMClientError
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
from vllm.v1.metrics.loggers import PrometheusStatLogger

from deliberate.engines.errors import EngineStopped, InvalidRequest, Overloaded
from deliberate.engines.protocol import EngineStats
from deliberate.engines.vllm.counters import Counters

_RETRY_AFTER_S = 1

_SHUTDOWN_S = 30.0
"""How long vLLM's processes may take to end before they are killed."""


class _AsyncLLM(AsyncLLM):
    def __del__(self) -> None:
        """Nothing: vLLM's own would shut down what `close` has shut down, and complain when the program has ended."""


class Core:
    """One running vLLM, shared by everything that asks the same model."""

    def __init__(self, arguments: Any) -> None:
        """`arguments`: AsyncEngineArgs. Raises InvalidRequest with vLLM's reason if it cannot start so."""
        self.counters = Counters()
        try:
            self.llm = _AsyncLLM.from_engine_args(arguments, stat_loggers=[self.counters.add_core])
        except (ValueError, OSError, RuntimeError, ImportError, AssertionError) as error:
            raise InvalidRequest(f"vLLM cannot load {arguments.model!r}: {_reason(error)}", param="model") from error
        # vLLM adds this one by itself; it observes every token, which costs some percent of the throughput.
        manager: Any = self.llm.logger_manager
        manager.stat_loggers = [each for each in manager.stat_loggers if not isinstance(each, PrometheusStatLogger)]
        self._ids = itertools.count()
        self._closed: EngineStopped | None = None

    @property
    def model(self) -> Any:
        """vLLM's ModelConfig."""
        return self.llm.model_config

    @property
    def stats(self) -> EngineStats:
        return self.counters.stats(self.llm.get_num_unfinished_requests())

    @property
    def failure(self) -> BaseException | None:
        if self._closed is not None:
            return self._closed
        return self.llm.dead_error if self.llm.errored else None

    def require_alive(self) -> None:
        if (failure := self.failure) is not None:
            raise EngineStopped(f"The engine stopped: {failure}") from failure

    def next_id(self) -> str:
        """A name for a request."""
        return f"deliberate-{next(self._ids)}"

    @contextmanager
    def in_our_words(self) -> Generator[None]:
        """Turns what vLLM raises for a request into the project's errors."""
        try:
            yield
        except EngineDeadError as error:
            cause = self.failure or error
            raise EngineStopped(f"The engine stopped: {cause}") from cause
        except VLLMClientError as error:
            raise InvalidRequest(f"vLLM refuses the request: {error}") from error
        except GracefulHTTPError as error:
            raise Overloaded(f"vLLM's queue is full: {error}", retry_after=_RETRY_AFTER_S) from error
        except EngineGenerateError as error:
            # Its own message is empty; what went wrong is its cause.
            raise EngineStopped(f"vLLM failed at the request: {error.__cause__!r}") from error

    async def close(self) -> None:
        if self._closed is None:
            self._closed = EngineStopped("it was closed")
            # A shutdown alone would leave running requests waiting for ever, and vLLM complaining of it as a failure.
            self.llm.output_processor.propagate_error(EngineDeadError())
            if self.llm.output_handler is not None:
                self.llm.output_handler.cancel()
            await asyncio.to_thread(self.llm.shutdown, _SHUTDOWN_S)


def _reason(error: Exception) -> str:
    """What vLLM said, without pydantic's frame around it."""
    if isinstance(error, ValidationError):
        return "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
    return str(error) or type(error).__name__
