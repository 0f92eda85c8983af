# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""stamina's side: its decorator and its context manager, on Trio."""

from __future__ import annotations

import stamina


async def one():
    return 1


guarded = stamina.retry(on=OSError, attempts=3)(one)


def retry_call(calls):
    async def body():
        done = 0
        for _ in range(calls):
            done += await guarded()
        return done

    return body


def retry_loop(calls):
    async def body():
        done = 0
        for _ in range(calls):
            async for attempt in stamina.retry_context(on=OSError, attempts=3):
                with attempt:
                    done += await one()
        return done

    return body
