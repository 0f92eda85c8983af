"""``--resources``: what steps use is opened for one run by a function beside the flow."""

from __future__ import annotations

import pytest

from .conftest import Project

SHOP = """
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    @define
    class Shop:
        sold: int = 0

    class Till:
        open = True

    TILL = Resource("till", Till)

    @step(uses=(TILL,))
    async def sell(shop: Shop) -> None:
        till = current_step().use(TILL)
        print("open while it runs:", till.open)
        shop.sold += 1

    @flow
    def shop() -> Wiring[Shop]:
        return [sell.then(END)]

    @asynccontextmanager
    async def opened() -> AsyncIterator[object]:
        till = Till()
        await trio.sleep(0)
        yield {TILL: till}
        till.open = False
        print("closed")

    @asynccontextmanager
    async def stuck() -> AsyncIterator[object]:
        yield {TILL: Till()}
        raise OSError("the drawer is stuck")

    @asynccontextmanager
    async def locked() -> AsyncIterator[object]:
        raise OSError("no key: sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD")
        yield

    def plain() -> object:
        return {TILL: Till()}

    kept = {TILL: Till()}
    number = 7
    odd = {"till": Till()}
    other = {TILL: 7}

    def demanding(what: str) -> object: ...
"""


@pytest.mark.parametrize("name", ["opened", "plain", "kept"])
def test_steps_have_what_they_use_for_as_long_as_the_run_lasts(
    project: Project, name: str
) -> None:
    project.write("shop.py", SHOP)
    answer = project.run("run", "shop.py", "--resources", name)
    assert (answer.code, answer.out) == (0, "Shop(sold=1)\n")
    assert "open while it runs: True" in answer.err
    assert ("closed" in answer.err) is (name == "opened")


def test_what_cannot_be_closed_is_said_and_the_run_has_its_outcome(project: Project) -> None:
    project.write("shop.py", SHOP)
    answer = project.run("run", "shop.py", "--resources", "stuck")
    assert (answer.code, answer.out) == (0, "Shop(sold=1)\n")
    assert "--resources stuck: not closed: OSError: the drawer is stuck\n" in answer.err


HOW = "Write an @asynccontextmanager without parameters that yields {RESOURCE: value}.\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openned", f"there is no 'openned' beside the flow; did you mean 'opened'?\n{HOW}"),
        ("locked", "locked: OSError: no key: ***\n"),
        ("number", f"number: it gives int, not {{RESOURCE: value}}\n{HOW}"),
        ("odd", f"odd: it gives dict, not {{RESOURCE: value}}\n{HOW}"),
        ("demanding", "missing 1 required positional argument: 'what'\n"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    project: Project, name: str, said: str
) -> None:
    project.write("shop.py", SHOP)
    answer = project.run("run", "shop.py", "--resources", name)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: --resources")
    assert answer.err.endswith(said)
    assert "while it runs" not in answer.err


@pytest.mark.parametrize("options", [[], ["--resources", "other"]])
def test_what_is_missing_or_of_another_kind_is_told_with_how_to_give_it(
    project: Project, options: list[str]
) -> None:
    project.write("shop.py", SHOP)
    answer = project.run("run", "shop.py", *options)
    assert answer.code == 2
    assert answer.err.startswith("error: resource 'till'")
    assert answer.err.endswith(
        "On the command line: --resources NAME, a function beside the flow that opens them.\n"
    )
