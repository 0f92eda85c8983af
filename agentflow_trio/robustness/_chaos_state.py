"""What the two kinds of chaos share: whether they are on, in which run of Trio, and how a body is struck.

Layer: robustness. Rules: off unless somebody turned it on in this run, or a drill goes on; decide and record without an
await in between; every injection is told just before it happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import final

import attrs
import trio
from trio.lowlevel import current_root_task, in_trio_run

from ..ports import Met
from ._bounds import named
from ._chaos_core import ChaosCore, Fault, Strike
from ._chaos_policy import SHARE, ChaosPolicy, MakesError
from ._dice import Dice, shared_dice
from ._drill import DRILL, make_known
from ._events import FaultInjected, OnEvent
from ._guard import Home, Listener

__all__ = ["ChaosState", "ChaosStatistics"]


@final
@attrs.frozen(kw_only=True)
class ChaosStatistics:
    """A picture of a chaos, since its run of Trio began.

    Attributes:
        name: of the chaos.
        rate: the share of bodies that it strikes, as the caller would meet it now; None: it is off.
        calls: how many bodies came by, on or off.
        struck: how many of them were struck.
        injected: what went wrong, how often; a body may meet several.
    """

    name: str
    rate: float | None
    calls: int
    struck: int
    injected: Mapping[Fault, int]


@final
class ChaosState:
    """What a chaos is made of, and what it has done in this run of Trio."""

    __slots__ = (
        "_core",
        "_home",
        "_listener",
        "_owner",
        "_random",
        "_rate",
        "_seed",
        "_switched",
        "name",
        "policy",
    )

    def __init__(
        self,
        owner: Met,
        name: str,
        policy: ChaosPolicy,
        seed: int | str | None,
        on_event: OnEvent | None,
    ) -> None:
        """*owner*: the chaos that users know."""
        named(type(owner).__name__, name)
        self.name: str = name
        self.policy: ChaosPolicy = policy
        self._owner = owner
        self._seed = seed
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._start_blank()
        make_known(owner, name)

    def _start_blank(self) -> None:
        self._core = ChaosCore(self.policy)
        self._random: Random | None = None
        self._switched = False
        self._rate: float | None = None
        self._listener.start_anew()

    def _arrive(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self._owner):
            self._start_blank()

    # ------------------------------------------------------------ on and off

    def switch(self, rate: float | None) -> None:
        """Strike that share of bodies from now on, in this run of Trio; None: none."""
        if rate is not None:
            SHARE.check(type(self._owner).__name__, "rate", rate)
        self._arrive()
        self._switched, self._rate = True, rate

    def rate(self) -> float | None:
        """The share of bodies that is struck here and now; None: it is off."""
        here = in_trio_run() and current_root_task() is self._home.root
        return self._rate_now(switched=self._switched and here)

    def _rate_now(self, *, switched: bool) -> float | None:
        if switched:
            return self._rate
        drill = DRILL.get()
        return None if drill is None else drill.rate_of(self.name, self.policy.rate)

    def statistics(self) -> ChaosStatistics:
        """What happened since the run of Trio began."""
        if in_trio_run():
            self._arrive()
        core = self._core
        return ChaosStatistics(
            name=self.name,
            rate=self.rate(),
            calls=core.calls,
            struck=core.struck,
            injected=dict(core.injected),
        )

    # ------------------------------------------------------------ striking

    def meet(self) -> Strike | None:
        """What befalls the body that begins now; None: nothing. Not a checkpoint."""
        if current_root_task() is not self._home.root:
            self._arrive()
        drill = DRILL.get()
        if drill is None and self._rate is None:  # off, as it nearly always is
            self._core.calls += 1
            return None
        strike = self._core.meet(self._rate_for_body(), self._draw)
        if drill is not None:
            drill.note(self.name, struck=strike is not None)
        return strike

    async def carry_out(self, strike: Strike) -> None:  # noqa: ASYNC910 - see there
        """Let *strike* befall the body. It yields only for a latency, or a behaviour that does."""
        if strike.latency:
            self.inject("latency", delay=strike.latency)
            await trio.sleep(strike.latency)
        if self.policy.behaviour is not None:
            self.inject("behaviour")
            await self.policy.behaviour()
        if strike.error is not None:
            error = _made_by(strike.error)
            self.inject("error", error=type(error).__name__)
            raise error

    def inject(self, fault: Fault, *, delay: float = 0.0, error: str = "") -> None:
        """Count *fault*, and tell of it."""
        self._core.count(fault)
        drill = DRILL.get()
        if drill is not None:
            drill.note(self.name, fault=fault)
        if self._listener.on:
            self._listener.tell(
                FaultInjected(
                    guard=self.name,
                    timestamp=trio.current_time(),
                    fault=fault,
                    delay=delay,
                    error=error,
                )
            )

    def _rate_for_body(self) -> float | None:
        rate, when = self._rate_now(switched=self._switched), self.policy.when
        if rate is None or when is None:
            return rate
        try:
            return rate if when() else None
        except Exception as wrong:  # noqa: BLE001 - a rule must not fail a body
            self._listener.complain(wrong)
            return None

    def _draw(self) -> float:
        if self._random is None:  # on first use, since most are off
            given = None if self._seed is None else Dice(self._seed).of
            self._random = (given or shared_dice() or Dice().of)(self.name)
        return self._random.random()


def _made_by(maker: MakesError) -> Exception:
    error = maker()
    if not _is_error(error):
        raise TypeError(f"ChaosPolicy: errors: {maker!r} made no Exception, but {error!r}")
    return error


def _is_error(value: object) -> bool:
    return isinstance(value, Exception)
