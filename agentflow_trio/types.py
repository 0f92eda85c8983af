"""The words everything else is said in: plain data, no behaviour, no clock.

Layer: the lowest. Imports attrs only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NoReturn,
    Protocol,
    TypeAlias,
    TypeVar,
    final,
)

import attrs

from ._lazy import lazily
from ._typing import override

if TYPE_CHECKING:
    from ._tolerance import Count, Share
else:  # 0.6 ms, and only items have a use for them
    __getattr__ = lazily(
        __name__, {"Count": "agentflow_trio._tolerance", "Share": "agentflow_trio._tolerance"}
    )

__all__ = [
    "END",
    "RUNS",
    "AttrsState",
    "Count",
    "Exit",
    "Next",
    "Phase",
    "Resource",
    "RunResult",
    "Secret",
    "Share",
    "Stream",
    "Trail",
    "is_nothing",
    "is_sensitive",
    "secrets_alive",
    "sensitive",
]

State = TypeVar("State")
Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)

Phase: TypeAlias = Literal["prep", "exec", "post", "cleanup", "flow"]
"""Where in a step's life something happened; ``flow`` is the run around all steps."""


class Next:
    """Somewhere to go: a step, ``END``, or one of the exits that ``post`` was given.

    In a unit test of ``post``, ``Next()`` makes a stand-in for an exit.
    """

    __slots__ = ()


@final
@attrs.frozen(eq=False)
class Exit(Next):
    """A named way out of a step or a flow. Two exits are the same only if they are one object.

    Attributes:
        name: the name of the keyword parameter that stands for it.
    """

    name: str

    def __copy__(self) -> Exit:
        return self

    def __deepcopy__(self, memo: object, /) -> Exit:
        return self

    @override
    def __reduce__(self) -> str | tuple[Any, ...]:
        return "END" if self is END else (Exit, (self.name,))


END: Final = Exit("end")
"""The end of a flow that has no exits of its own."""


class _SeenByMypy(Protocol):
    """mypy's attrs plugin synthesises ``__attrs_attrs__``."""

    __attrs_attrs__: ClassVar[Any]


class _SeenByPyright(Protocol):
    """dataclass_transform makes pyright synthesise ``__dataclass_fields__``. Lets dataclasses in; ``run`` refuses them."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


AttrsState: TypeAlias = _SeenByMypy | _SeenByPyright
"""Any attrs class: the bound of every shared state."""


@final
@attrs.frozen
class Resource(Generic[Value_co]):
    """A typed name for something the application owns and steps borrow: a client, a pool, a model.

    ``HTTP = Resource("http", httpx.AsyncClient)``; the application passes
    ``Engine(resources={HTTP: client})``, a step declares ``uses=(HTTP,)`` and asks
    ``current_step().use(HTTP)``, which is typed.

    Attributes:
        name: what errors and pictures call it.
        kind: its class; a resource of another class is refused when the engine is made.
    """

    name: str
    kind: type[Value_co]


@final
@attrs.frozen
class Stream(Generic[Value]):
    """A typed output stream of a run, such as tokens: ``TOKENS = Stream("tokens", str)``.

    Attributes:
        name: what errors and events call it.
        kind: the class of its chunks.
    """

    name: str
    kind: type[Value]


# ---------------------------------------------------------------- what must not be shown


class _Mark(Mapping[str, bool]):
    """Metadata of attrs that can also stand in an ``Annotated``, which wants a hash."""

    __slots__ = ()

    @override
    def __getitem__(self, key: str, /) -> bool:
        return _MARKED[key]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(_MARKED)

    @override
    def __len__(self) -> int:
        return len(_MARKED)

    @override
    def __hash__(self) -> int:
        return hash(_Mark)

    @override
    def __repr__(self) -> str:
        return "sensitive"


_MARKED: Final = {"agentflow_trio.sensitive": True}

sensitive: Final[Mapping[str, bool]] = _Mark()
"""Marks a field of a state whose value must not be shown: ``api_key: str = field(metadata=sensitive)``.

What runs tell (events, reports, the texts of our errors, the command line) has ``***`` in place of the value, and so has
the JSON of the codec. The value itself stays what it is; ``repr`` of a state is attrs': add ``repr=False`` there, or use
a `Secret`. With a rule for merges: ``field(metadata={**sensitive, **merged_by(latest)})``.
"""


def is_sensitive(field: attrs.Attribute[Any]) -> bool:
    """Whether *field* was marked as `sensitive`."""
    return _MARKED.keys() <= field.metadata.keys()


def is_nothing(value: object) -> bool:
    """Whether *value* may be shown even where it is sensitive: None, or an empty text or container."""
    return value is None or (isinstance(value, Sized) and not len(value))


@final
class Secret:
    """A text that is never printed, formatted, logged or pickled: ``Secret("sk-...")``; `reveal` gives it.

    ``repr``, ``str`` and ``format`` give ``Secret('***')``. As long as one lives, what runs tell has ``***`` wherever its
    text would stand. Secrets of one text are equal (compared in constant time) and have one hash. Copies and forks are
    the secret itself.

    Raises:
        TypeError: the value is no text. Also when it is pickled: pass the text, where that must be.
        ValueError: the text is empty.
    """

    __slots__ = ("__weakref__", "_value")

    _value: str

    def __init__(self, value: str, /) -> None:
        # neither error says what it was given
        if type(value) is not str:
            raise TypeError(
                f"a Secret is made of a str, not of a value of {type(value).__name__}"
            )
        if not value:
            raise ValueError(
                "a Secret must not be empty; is the variable that it was read from set?"
            )
        object.__setattr__(self, "_value", value)
        _ALIVE.add(self)
        if RUNS.made is not None:
            RUNS.made(value)

    def reveal(self) -> str:
        """The text. Whoever calls this says by it that here it may be seen."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "Secret('***')"

    @override
    def __format__(self, spec: str, /) -> str:
        return format(str(self), spec)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # noqa: PLC0415 - 2 ms of import for what few programs do

        return compare_digest(self._value.encode(*_ANY_TEXT), other._value.encode(*_ANY_TEXT))

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._value))

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed; make another")

    @override
    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed; make another")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object, /) -> Secret:
        return self

    @override
    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        raise TypeError(
            "a Secret is not pickled; pass its reveal() where the text itself must go"
        )


@final
class _Alive:
    """All secrets that are alive; by id, not by value: of two equal secrets one may die before the other."""

    __slots__ = ("_known", "_now", "_refs")

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[Secret]] = {}
        # another one whenever a secret came or went, in whatever thread
        self._now: object = object()
        self._known: tuple[object, tuple[str, ...]] = (None, ())

    def add(self, secret: Secret) -> None:
        """Know of *secret* until it dies."""
        key = id(secret)

        def forget(_: object) -> None:
            self._refs.pop(key, None)
            self._now = object()

        self._refs[key] = weakref.ref(secret, forget)
        self._now = object()

    def texts(self) -> tuple[str, ...]:
        """Those of all; put together only when one came or went, for a thousand take 100 us."""
        now, (then, texts) = self._now, self._known
        if now is not then:
            alive = [ref() for ref in [*self._refs.values()]]
            texts = tuple(secret.reveal() for secret in alive if secret is not None)
            self._known = now, texts
        return texts


_ALIVE: Final = _Alive()

_ANY_TEXT: Final = ("utf-8", "surrogatepass")


@final
class Runs:
    """What only who runs flows knows of a caller; set by them, so that nothing below need know of runs.

    Attributes:
        made: takes the text of each new `Secret`: a run hides what its nodes made to its end.
        veil: gives what makes of a text what may be shown of it in the run that the caller is in; None outside.
    """

    __slots__ = ("made", "veil")

    def __init__(self) -> None:
        self.made: Callable[[str], object] | None = None
        self.veil: Callable[[], Callable[[str], str] | None] | None = None


RUNS: Final = Runs()


def secrets_alive() -> tuple[str, ...]:
    """The texts of all secrets that are alive in this process, for those who keep them from being shown."""
    return _ALIVE.texts()


class Trail(Protocol):
    """Where a run has been. Kept cheaply while it runs, told in words when asked."""

    @property
    def run_id(self) -> str:
        """The id given, or a UUID."""
        ...

    @property
    def visits(self) -> Mapping[str, int]:
        """Visits per step, by path without visit numbers."""
        ...

    @property
    def tail(self) -> tuple[str, ...]:
        """The last places, oldest first."""
        ...

    @property
    def suppressed(self) -> tuple[Exception, ...]:
        """Failures that the run went on after, oldest first."""
        ...


@final
@attrs.frozen(eq=False)
class RunResult(Generic[State]):
    """How a run ended.

    Attributes:
        state: the state as the last step left it. The object given to ``run`` is unchanged.
        exit: the name of the flow's exit taken; None when it came to ``END``.
        duration: seconds on Trio's clock.
        steps: how many visits were made, nested ones included.
    """

    state: State
    exit: str | None
    duration: float
    steps: int
    trail: Trail = attrs.field(repr=False)

    @property
    def run_id(self) -> str:
        """The id given to the run, or a UUID made the first time it is asked for."""
        return self.trail.run_id

    @property
    def visits(self) -> Mapping[str, int]:
        """How often each step was visited, by its path without visit numbers (``editorial/editing/review``)."""
        return self.trail.visits

    @property
    def tail(self) -> tuple[str, ...]:
        """The paths of the last 100 visits, oldest first (``editorial/editing/review#2``)."""
        return self.trail.tail

    @property
    def suppressed(self) -> tuple[Exception, ...]:
        """What failed and was swallowed, the last 100, oldest first: losers of races, items within a tolerance."""
        return self.trail.suppressed
