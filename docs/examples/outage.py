"""The agent of agent.py, and half a minute without its model: the network and the time are played.

python docs/examples/outage.py
agentflow simulate docs/examples/outage.py:outage --seed 0 --svg outage.svg
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Final

import httpx
import trio

import agent
from agentflow_trio import Engine
from agentflow_trio.events import CircuitChanged, ExecutionEvent
from agentflow_trio.testing import simulate
from endpoint import Model

DOWN: Final = (3.0, 33.0)  # from when to when, in seconds
TOPICS: Final = ("threads", "cleanups", "signals")


class Played:
    """Stands for an endpoint, which takes a second for an answer, and keeps a diary."""

    name = "played"

    def __init__(self) -> None:
        self.diary = defaultdict[str, list[str]](list)

    def note(self, what: str) -> None:
        self.diary[f"{trio.current_time():5.1f}"].append(what)

    def observe(self, event: ExecutionEvent) -> None:
        if isinstance(event, CircuitChanged):
            self.note(f"circuit {event.state}")

    async def answer(self, request: httpx.Request) -> httpx.Response:
        messages = json.loads(request.content)["messages"]
        who = next((topic for topic in TOPICS if topic in messages[1]["content"]), "agent")
        await trio.sleep(1.0)
        if DOWN[0] <= trio.current_time() < DOWN[1]:
            self.note(f"{who} 503")
            return httpx.Response(503)
        begins = messages[-1]["role"] == "user"
        self.note(f"{who} {'uses tools' if begins else 'done'}")
        return httpx.Response(200, text=stream(who, begins))


def stream(who: str, begins: bool) -> str:
    """What an endpoint sends: calls of tools, or else the text."""
    wanted = [("look", {"at": f"page {number}"}) for number in range(2)]
    if who not in TOPICS:
        wanted = [("research", {"question": topic}) for topic in TOPICS]
    calls = [
        {"id": f"{at}", "function": {"name": name, "arguments": json.dumps(given)}}
        for at, (name, given) in enumerate(wanted)
    ]
    delta = {"tool_calls": calls} if begins else {"content": "Nothing may, for long."}
    choice = {"delta": delta, "finish_reason": "stop"}
    return f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"


async def look(at: str) -> str:
    """Look at a page; a tool without threads, whose order no simulation knows."""
    await trio.sleep(0.5)
    return f"{at} is empty"


async def outage() -> None:
    played, agent.TOOLS["look"] = Played(), look
    network = httpx.MockTransport(played.answer)
    async with httpx.AsyncClient(transport=network, base_url="http://model/v1") as client:
        resources = {agent.MODEL: Model(client, "played", budget=40)}
        async with Engine(resources=resources, observers=[played]) as engine:
            result = await engine.run(agent.agent, agent.question("What may hang?"))
    for time, notes in played.diary.items():
        print(f"{time} s  {', '.join(notes)}")
    print(f"{result.exit}: {result.state}")


if __name__ == "__main__":
    with simulate(outage) as sim:
        sim.run()
