"""A cheap HTTP provider as a process of its own. Prints its URL."""

import asyncio
import contextlib

import uvloop

from gateway.sandbox.fast import FastHttpSimulator


async def main() -> None:
    async with FastHttpSimulator() as simulator:
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
