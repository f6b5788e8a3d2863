"""What stages lend to verifiers: worker processes, boxes for programs, browsers, and models."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from deliberate.engines.protocol import Engine
from deliberate.training.sampling.engines import (
    EngineConfig,
    chain_format,
    is_reward_model,
    logprob_reader,
    open_engine,
    open_scorer,
    recorded,
)
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

POLICY, JUDGE = "policy", "verifier"
"""Names by which verifiers find the model that samples, and the one that judges."""


@asynccontextmanager
async def lent_resources(
    policy: Engine | None = None,
    policy_config: EngineConfig | None = None,
    judge: EngineConfig | None = None,
    *,
    concurrency: int = 64,
) -> AsyncGenerator[Resources, None]:
    """Until this is left. The policy stays the caller's to close; `judge` is loaded and closed here.

    Raises what `open_engine` raises.
    """
    async with AsyncExitStack() as stack:
        workers, sandbox, browsers = WorkerPool(), Sandbox(), BrowserPool()
        stack.callback(workers.close)
        stack.push_async_callback(asyncio.to_thread, browsers.close)
        stack.push_async_callback(sandbox.close)
        resources = Resources(workers, {}, sandbox=sandbox, browsers=browsers)
        if policy is not None:
            resources = replace(resources, engines={POLICY: policy}, policy=POLICY)
            record = None if policy_config is None else recorded(policy_config)
            if record is not None:
                resources = replace(resources, step_separator=record.step_separator)
        if judge is not None:
            resources = await _with_judge(stack, resources, judge, concurrency)
        yield resources


async def _with_judge(stack: AsyncExitStack, lent: Resources, judge: EngineConfig, concurrency: int) -> Resources:
    known = await asyncio.to_thread(chain_format, judge)
    formats = {} if known is None else {JUDGE: known}
    if await asyncio.to_thread(is_reward_model, judge, concurrency):
        scorer = await asyncio.to_thread(open_scorer, judge, concurrency)
        stack.push_async_callback(scorer.close)
        return replace(lent, scorers={JUDGE: scorer}, reward_model=JUDGE, formats=formats)
    engine = await asyncio.to_thread(open_engine, judge, concurrency)
    stack.push_async_callback(engine.close)
    reader = await asyncio.to_thread(logprob_reader, judge)
    readers = {} if reader is None else {JUDGE: reader}
    return replace(lent, engines={**lent.engines, JUDGE: engine}, scorer=JUDGE, formats=formats, readers=readers)
