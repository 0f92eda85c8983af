"""What a search, its report and a timeline tell of a failure has nothing in it that the failed run hides."""

from __future__ import annotations

import attrs
import trio

from agentflow_trio import END, Wiring, flow, sensitive, step
from agentflow_trio.testing import explore, record

CANARY = 'k4n4ry\n"<>"'


@attrs.define
class Login:
    key: str = attrs.field(default=CANARY, metadata=sensitive)


@step
async def work(login: Login) -> None:
    raise ValueError(f"no {login.key}, {login.key!r}; token=abc")


@flow
def working() -> Wiring[Login]:
    return [work.then(END)]


async def program() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(working.run, Login())


def test_a_report_of_a_search_hides_what_the_run_hid() -> None:
    for found in (explore(working, Login(), seeds=1), explore(program, seeds=1)):
        told = str(found)
        assert "ValueError: no ***, '***'; token=*** (in " in told
        assert "k4n4ry" not in told


def test_a_picture_of_a_run_hides_it_too() -> None:
    told = str(record(program).diff(record(fine)))
    assert "k4n4ry" not in told
    assert "ValueError" in told or "ExceptionGroup" in told
    for timeline in (record(working, Login()), record(program)):
        assert "k4n4ry" not in timeline.to_svg() + repr(timeline)
        assert "ValueError: no ***, " in timeline.to_svg()


async def fine() -> None:
    await trio.sleep(1.0)
