# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""pydantic-graph's side: the builder API, steps as functions on one mutable state. It forks nothing."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Literal

from pydantic_graph import GraphBuilder, StepContext, TypeExpression, reduce_list_append

SMALLER = {"F4i": ((1_000, 8), 1_000)}
"""It has no bound on how many tasks there are at once."""


@dataclass
class Tally:
    done: int = 0
    until: int = 0


@dataclass
class Card:
    done: int = 0
    title: str = "a card"
    tags: tuple[str, ...] = ("one", "two")
    score: float = 0.5


async def count(ctx: StepContext[Tally, None, None]) -> None:
    ctx.state.done += 1
    await asyncio.sleep(0)


async def count_quiet(ctx: StepContext[Tally, None, None]) -> None:
    ctx.state.done += 1


async def turn(ctx: StepContext[Tally, None, object]) -> Literal["again", "done"]:
    ctx.state.done += 1
    await asyncio.sleep(0)
    return "again" if ctx.state.done < ctx.state.until else "done"


def row(call, nodes):
    builder = GraphBuilder(state_type=Tally)
    steps = [builder.step(call, node_id=f"node_{number}") for number in range(nodes)]
    places = [builder.start_node, *steps, builder.end_node]
    builder.add(
        *(builder.edge_from(one).to(next_one) for one, next_one in itertools.pairwise(places))
    )
    return builder.build()


def once(graph):
    async def body():
        state = Tally()
        await graph.run(state=state)
        return state.done

    return body


def chain(nodes):
    return once(row(count, nodes))


def by_hand_quiet(nodes):
    return once(row(count_quiet, nodes))


def loop(steps):
    builder = GraphBuilder(state_type=Tally)
    place = builder.step(turn, node_id="turn")
    builder.add(
        builder.edge_from(builder.start_node).to(place),
        builder.edge_from(place).to(
            builder
            .decision()
            .branch(builder.match(TypeExpression[Literal["again"]]).to(place))
            .branch(builder.match(TypeExpression[Literal["done"]]).to(builder.end_node))
        ),
    )
    graph = builder.build()

    async def body():
        state = Tally(until=steps)
        await graph.run(state=state)
        return state.done

    return body


async def count_card(ctx: StepContext[Card, None, None]) -> None:
    ctx.state.done += 1
    await asyncio.sleep(0)


def level(below):
    builder = GraphBuilder(state_type=Card)
    places = [builder.start_node, builder.step(count_card, node_id="work")]
    if below is not None:

        async def go_below(ctx: StepContext[Card, None, None]) -> None:
            await below.run(state=ctx.state)

        places.append(builder.step(go_below, node_id="below"))
    places.append(builder.end_node)
    builder.add(
        *(builder.edge_from(one).to(next_one) for one, next_one in itertools.pairwise(places))
    )
    return builder.build()


def nested(depth, times):
    top = None
    for _ in range(depth):
        top = level(top)

    async def body():
        done = 0
        for _ in range(times):
            card = Card()
            await top.run(state=card)
            done += card.done
        return done

    return body


def fleet(flows, nodes):
    graph = row(count, nodes)

    async def body():
        tallies = [Tally() for _ in range(flows)]
        await asyncio.gather(*(graph.run(state=tally) for tally in tallies))
        return sum(tally.done for tally in tallies)

    return body


async def plus_one(ctx: StepContext[None, None, int]) -> int:
    await asyncio.sleep(0)
    return ctx.inputs + 1


async def all_plus_one(ctx: StepContext[None, None, list[int]]) -> list[int]:
    await asyncio.sleep(0)
    return [item + 1 for item in ctx.inputs]


def spread(call, given, count):
    """A task for each of *given*, what they return collected in one list."""
    builder = GraphBuilder(input_type=list, output_type=list)
    work = builder.step(call, node_id="work")
    join = builder.join(reduce_list_append, initial_factory=list, node_id="join")
    builder.add(
        builder.edge_from(builder.start_node).map().to(work),
        builder.edge_from(work).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    graph = builder.build()

    async def body():
        return count(await graph.run(inputs=given))

    return body


def branches(many):
    return spread(plus_one, list(range(many)), len)


def items(many, _at_once):
    return spread(plus_one, list(range(many)), len)


def batches(many, size, _at_once):
    given = list(range(many))
    parts = [given[start : start + size] for start in range(0, many, size)]
    return spread(all_plus_one, parts, lambda got: sum(map(len, got)))
