# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""backoff's side: its decorator around the same call, on asyncio."""

from __future__ import annotations

import backoff


@backoff.on_exception(backoff.expo, OSError, max_tries=3)
async def one():
    return 1


def retry_call(calls):
    async def body():
        done = 0
        for _ in range(calls):
            done += await one()
        return done

    return body
