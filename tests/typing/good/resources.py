"""A resource is a typed name for what the application owns; a step borrows it with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from attrs import define, frozen

from agentflow_trio import END, Engine, Resource, Wiring, current_step, flow, step


@frozen
class Client:
    url: str

    async def get(self, path: str) -> bytes:
        return f"{self.url}/{path}".encode()


@frozen
class CountingClient(Client):
    """A resource of a class takes a value of a subclass."""


HTTP = Resource("http", Client)


@define
class Page:
    path: str
    text: str = ""


@step(uses=(HTTP,))
async def fetch(page: Page) -> None:
    client = current_step().use(HTTP)
    assert_type(client, Client)
    page.text = (await client.get(page.path)).decode()


@flow
def fetching() -> Wiring[Page]:
    return [fetch.then(END)]


async def main() -> None:
    assert_type(HTTP, Resource[Client])
    resources: Mapping[Resource[object], object] = {HTTP: CountingClient("http://x")}
    async with Engine(resources=resources) as engine:
        assert (await engine.run(fetching, Page("a"))).state.text == "http://x/a"
    async with Engine(resources={HTTP: Client("http://y")}) as engine:
        assert (await engine.run(fetching, Page("a"))).state.text == "http://y/a"
