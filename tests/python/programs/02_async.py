"""Coroutines, asynchronous generators, iterators and context managers."""
import asyncio


async def work(name, n):
    total = 0
    for i in range(n):
        await asyncio.sleep(0)
        total += i
    return name, total


async def agen(n):
    for i in range(n):
        yield i
        await asyncio.sleep(0)


class Manager:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, kind, value, tb):
        await asyncio.sleep(0)
        return kind is ValueError


class Countdown:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.n:
            raise StopAsyncIteration
        self.n -= 1
        return self.n


async def fails():
    await asyncio.sleep(0)
    raise RuntimeError("failed")


async def main():
    print(await asyncio.gather(work("a", 2), work("b", 3)))
    print([x async for x in agen(3)])
    async for x in Countdown(2):
        print(x)
    async with Manager():
        raise ValueError("swallowed")
    try:
        await fails()
    except RuntimeError as e:
        print("caught", e)
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)
    except asyncio.TimeoutError:
        print("timeout")


asyncio.run(main())
