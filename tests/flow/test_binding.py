"""Exits are bound into ``post`` once; whatever kind of callable it is, it is called as written."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import FunctionType, MethodType
from typing import Any

import attrs
import pytest

from agentflow_trio import Exit, Next, Step
from agentflow_trio.flow._bind import bind_exits

GOOD, BAD = Exit("good"), Exit("bad")
EXITS = (GOOD, BAD)


async def plain(a: int, b: str = "b", /, *, good: Next, bad: Next) -> tuple[Any, ...]:
    return a, b, good, bad


async def positional(a: int, b: str, good: Next, bad: Next) -> tuple[Any, ...]:
    return a, b, good, bad


async def extra(a: int, b: str, *, times: int = 3, good: Next, bad: Next) -> tuple[Any, ...]:
    return a, times, good, bad


def closure() -> Callable[..., Awaitable[tuple[Any, ...]]]:
    seen: list[int] = []

    async def count(a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        seen.append(a)
        return len(seen), b, good, bad

    return count


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return ("logged", *await function(*args, **kwargs))

    return wrapper


def half_known(function: Callable[..., Any]) -> Callable[..., Any]:
    """A wrapper that names one of the exits itself."""

    @functools.wraps(function)
    async def wrapper(*args: Any, good: Next, **kwargs: Any) -> Any:
        return ("half", *await function(*args, good=good, **kwargs))

    return wrapper


class Base:
    async def method(self, a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        return a, b, good, bad


@attrs.frozen
class Slotted(Base):
    mark: str = "slot"

    async def method(self, a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        return (self.mark, *await super().method(a, b, good=good, bad=bad))

    @classmethod
    async def of_class(cls, a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        return cls, a, good, bad

    @staticmethod
    async def static(a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        return a, b, good, bad

    async def __call__(self, a: int, b: str, *, good: Next, bad: Next) -> tuple[Any, ...]:
        return self.mark, a, good, bad


CASES: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
    ("plain", plain, (1, "x", GOOD, BAD)),
    ("positional", positional, (1, "x", GOOD, BAD)),
    ("keyword default", extra, (1, 3, GOOD, BAD)),
    ("closure", closure(), (1, "x", GOOD, BAD)),
    ("method with super", Slotted().method, ("slot", 1, "x", GOOD, BAD)),
    ("class method", Slotted().of_class, (Slotted, 1, GOOD, BAD)),
    ("static method", Slotted().static, (1, "x", GOOD, BAD)),
    ("object", Slotted("own"), ("own", 1, GOOD, BAD)),
    ("partial", functools.partial(positional, 1), (1, 1, GOOD, BAD)),
    ("decorated", logged(plain), ("logged", 1, "x", GOOD, BAD)),
    (
        "decorated method",
        MethodType(logged(Base.method), Base()),
        ("logged", 1, "x", GOOD, BAD),
    ),
    ("half a wrapper", half_known(plain), ("half", 1, "x", GOOD, BAD)),
]


@pytest.mark.parametrize(
    ("function", "returned"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_every_kind_of_callable_gets_its_exits(
    function: Callable[..., Any], returned: tuple[Any, ...]
) -> None:
    bound = bind_exits(function, EXITS)
    arguments = (
        (1,) if isinstance(function, functools.partial) else (1, "x")
    )  # has the other one
    assert await bound(*arguments) == returned


async def test_the_function_itself_is_not_changed() -> None:
    bound = bind_exits(plain, EXITS)
    assert plain.__kwdefaults__ is None
    with pytest.raises(TypeError, match="good"):
        await plain(1)  # type: ignore[call-arg]
    assert await bound(1) == (1, "b", GOOD, BAD)
    other = bind_exits(plain, (Exit("good"), BAD))
    assert (await other(1))[2] is not GOOD
    assert (await bound(1))[2] is GOOD


def test_plain_functions_and_methods_get_a_twin_that_costs_no_more_per_call() -> None:
    twin: Any = bind_exits(plain, EXITS)
    assert isinstance(twin, FunctionType)
    assert (twin.__name__, twin.__qualname__) == ("plain", "plain")
    assert twin.__code__ is plain.__code__
    method: Any = bind_exits(Slotted().method, EXITS)
    assert isinstance(method, MethodType)
    assert method.__self__ == Slotted()
    assert method.__qualname__ == "Slotted.method"


def test_a_function_without_exits_is_left_alone() -> None:
    assert bind_exits(plain, ()) is plain


@attrs.define
class Board:
    seen: tuple[str, ...] = ()


def noted(post: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(post)
    async def wrapper(self: object, shared: Board, *args: Any, **exits: Next) -> Any:
        shared.seen = (*shared.seen, *exits)
        return await post(self, shared, *args, **exits)

    return wrapper


class Decorated:
    async def prep(self, shared: Board) -> int:
        return 1

    async def exec(self, prepared: int) -> int:
        return prepared

    @noted
    async def post(
        self, shared: Board, prepared: int, result: int, *, left: Next, right: Next
    ) -> Next:
        return right


async def test_a_decorated_post_branches_in_a_run() -> None:
    decorated: Any = Decorated()
    made: Step[Board, ...] = Step(decorated)
    assert made.exits == ("left", "right")
    result = await made.run(Board())
    assert (result.exit, result.state) == ("right", Board(("left", "right")))
