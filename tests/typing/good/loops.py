"""An exit may lead back; the types do not mind in which order steps are made or wired."""

from __future__ import annotations

from attrs import define

from agentflow_trio import END, Next, Wiring, flow, step


@define
class Count:
    left: int
    seen: tuple[int, ...] = ()


@step
async def work(count: Count) -> None:
    count.seen += (count.left,)
    count.left -= 1


@step(max_visits=5)
async def check(count: Count, *, more: Next, done: Next) -> Next:
    return more if count.left else done


@flow
def countdown() -> Wiring[Count]:
    return [work.then(check), check.to(done=END, more=work)]


async def main() -> None:
    result = await countdown.run(Count(3))
    assert result.state.seen == (3, 2, 1)
    assert dict(result.visits) == {"countdown/work": 3, "countdown/check": 3}
    assert result.steps == 6
