# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""LangGraph's side: StateGraph, async nodes that return what they change; no checkpointer."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

SMALLER = {"F2": ((2_000,), 2_000), "F4i": ((1_000, 8), 1_000), "F5": ((50, 2), 100)}
"""Ten thousand routed steps are seconds here."""


class Tally(TypedDict):
    done: int
    until: int


class Card(TypedDict):
    done: int
    title: str
    tags: tuple[str, ...]
    score: float


async def count(state: Tally):
    await asyncio.sleep(0)
    return {"done": state["done"] + 1}


async def count_quiet(state: Tally):
    return {"done": state["done"] + 1}


def row(call, nodes):
    graph = StateGraph(Tally)
    graph.add_sequence([(f"node_{number}", call) for number in range(nodes)])
    graph.add_edge(START, "node_0")
    graph.add_edge(f"node_{nodes - 1}", END)
    return graph.compile()


def once(graph, nodes):
    async def body():
        state = await graph.ainvoke({"done": 0}, {"recursion_limit": nodes + 10})
        return state["done"]

    return body


def chain(nodes):
    return once(row(count, nodes), nodes)


def by_hand_quiet(nodes):
    return once(row(count_quiet, nodes), nodes)


def where_to(state: Tally):
    return "turn" if state["done"] < state["until"] else END


def loop(steps):
    graph = StateGraph(Tally)
    graph.add_node("turn", count)
    graph.add_edge(START, "turn")
    graph.add_conditional_edges("turn", where_to, ["turn", END])
    compiled = graph.compile()

    async def body():
        state = await compiled.ainvoke(
            {"done": 0, "until": steps}, {"recursion_limit": steps + 10}
        )
        return state["done"]

    return body


async def count_card(state: Card):
    await asyncio.sleep(0)
    return {"done": state["done"] + 1}


def level(below):
    graph = StateGraph(Card)
    graph.add_node("work", count_card)
    graph.add_edge(START, "work")
    if below is None:
        graph.add_edge("work", END)
    else:
        graph.add_node("below", below)
        graph.add_edge("work", "below")
        graph.add_edge("below", END)
    return graph.compile()


def nested(depth, times):
    top = None
    for _ in range(depth):
        top = level(top)

    async def body():
        done = 0
        for _ in range(times):
            card = {"done": 0, "title": "a card", "tags": ("one", "two"), "score": 0.5}
            done += (await top.ainvoke(card))["done"]
        return done

    return body


def fleet(flows, nodes):
    graph = row(count, nodes)

    async def body():
        states = await asyncio.gather(*(graph.ainvoke({"done": 0}) for _ in range(flows)))
        return sum(state["done"] for state in states)

    return body


class Results(TypedDict):
    got: Annotated[list[int], operator.add]


async def plus_one(item):
    await asyncio.sleep(0)
    return {"got": [item + 1]}


async def all_plus_one(part):
    await asyncio.sleep(0)
    return {"got": [item + 1 for item in part]}


def spread(call, given, at_once):
    """A task for each of *given*, what they return added up in one list."""
    graph = StateGraph(Results)
    graph.add_node("work", call)
    graph.add_conditional_edges(
        START, lambda _: [Send("work", item) for item in given], ["work"]
    )
    graph.add_edge("work", END)
    compiled = graph.compile()

    async def body():
        state = await compiled.ainvoke({"got": []}, {"max_concurrency": at_once})
        return len(state["got"])

    return body


def branches(many):
    return spread(plus_one, list(range(many)), None)


def items(many, at_once):
    return spread(plus_one, list(range(many)), at_once)


def batches(many, size, at_once):
    given = list(range(many))
    parts = [given[start : start + size] for start in range(0, many, size)]
    return spread(all_plus_one, parts, at_once)
