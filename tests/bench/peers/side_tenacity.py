# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""tenacity's side: its decorator and its loop, on Trio."""

from __future__ import annotations

from tenacity import (
    AsyncRetrying,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

SETTINGS = {
    "retry": retry_if_exception_type(OSError),
    "stop": stop_after_attempt(3),
    "wait": wait_random_exponential(0.1),
}


async def one():
    return 1


guarded = retry(**SETTINGS)(one)


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
            async for attempt in AsyncRetrying(**SETTINGS):
                with attempt:
                    done += await one()
        return done

    return body
