# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN003, ANN201, ANN202
"""Burr's side: a graph of async actions built once, an application per run; no tracker, no persister."""

from __future__ import annotations

import asyncio
import itertools

from burr.core import ApplicationBuilder, GraphBuilder, State, action, default, when


@action(reads=["done"], writes=["done"])
async def count(state: State) -> State:
    await asyncio.sleep(0)
    return state.update(done=state["done"] + 1)


@action(reads=["done"], writes=["done"])
async def count_quiet(state: State) -> State:
    return state.update(done=state["done"] + 1)


@action(reads=["done", "until"], writes=["done", "more"])
async def turn(state: State) -> State:
    await asyncio.sleep(0)
    done = state["done"] + 1
    return state.update(done=done, more=done < state["until"])


@action(reads=[], writes=[])
async def stop(state: State) -> State:
    return state


def row(call, nodes):
    names = [f"node_{number}" for number in range(nodes)]
    return (
        GraphBuilder()
        .with_actions(**dict.fromkeys(names, call))
        .with_transitions(*itertools.pairwise(names))
        .build()
    )


async def run(graph, start, halt, **state):
    application = (
        ApplicationBuilder()
        .with_graph(graph)
        .with_entrypoint(start)
        .with_state(**state)
        .build()
    )
    _, _, final = await application.arun(halt_after=[halt])
    return final


def once(graph, nodes):
    async def body():
        return (await run(graph, "node_0", f"node_{nodes - 1}", done=0))["done"]

    return body


def chain(nodes):
    return once(row(count, nodes), nodes)


def by_hand_quiet(nodes):
    return once(row(count_quiet, nodes), nodes)


def loop(steps):
    graph = (
        GraphBuilder()
        .with_actions(turn=turn, stop=stop)
        .with_transitions(("turn", "turn", when(more=True)), ("turn", "stop", default))
        .build()
    )

    async def body():
        return (await run(graph, "turn", "stop", done=0, until=steps, more=True))["done"]

    return body


def level(below):
    if below is None:
        return (
            GraphBuilder()
            .with_actions(work=count, below=stop)
            .with_transitions(("work", "below"))
            .build()
        )

    @action(reads=["done", "title", "tags", "score"], writes=["done"])
    async def go_below(state: State) -> State:
        # Not get_all(): it brings Burr's own keys along, and the inner graph would go on behind "work".
        card = {key: state[key] for key in ("done", "title", "tags", "score")}
        final = await run(below, "work", "below", **card)
        return state.update(done=final["done"])

    return (
        GraphBuilder()
        .with_actions(work=count, below=go_below)
        .with_transitions(("work", "below"))
        .build()
    )


def nested(depth, times):
    top = None
    for _ in range(depth):
        top = level(top)

    async def body():
        done = 0
        for _ in range(times):
            final = await run(
                top, "work", "below", done=0, title="a card", tags=("one", "two"), score=0.5
            )
            done += final["done"]
        return done

    return body


def fleet(flows, nodes):
    graph = row(count, nodes)

    async def body():
        finals = await asyncio.gather(
            *(run(graph, "node_0", f"node_{nodes - 1}", done=0) for _ in range(flows))
        )
        return sum(final["done"] for final in finals)

    return body
