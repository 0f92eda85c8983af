"""The works of a resource pool: borrowing, making, giving back and closing, in Trio.

Layer: robustness. Rules: who borrows makes what is missing, in its own task, and gives its place back if that fails
or is cancelled; giving back never waits: what must be closed goes to the tasks of the owner, where closing is
shielded and limited. What becomes free goes from hand to hand.
"""

from __future__ import annotations

from types import TracebackType
from typing import Generic, TypeVar, final

import trio
from trio.lowlevel import (
    Task,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_root_task,
    current_task,
    disable_ki_protection,
    enable_ki_protection,
)

from ..errors import (
    DeadlineExceededError,
    GuardInUseError,
    GuardMisuseError,
    GuardReentryError,
    PoolClosedError,
    PoolExhaustedError,
)
from ._events import ResourceClosed, ResourceOpened
from ._guard import Listener
from ._parking import NOT_ENTERED, Parking, surrounds
from ._pool_core import Entry, PoolCore
from ._pool_policy import PoolPolicy, Rules
from ._private import find_context, find_look

__all__ = ["Vault"]

Object = TypeVar("Object")


@final
class Vault(Generic[Object]):
    """What lends: ``async with vault as value``. It keeps who holds what by task, so one does for all loans.

    Attributes:
        core: the rules and how things stand.
        failures: what closing raised when the pool was left.
    """

    __slots__ = (
        "_changed",
        "_closers",
        "_context",
        "_listener",
        "_look",
        "_name",
        "_open",
        "_parking",
        "_policy",
        "_root",
        "_rules",
        "_seen",
        "_seized",
        "core",
        "failures",
    )

    def __init__(
        self,
        name: str,
        policy: PoolPolicy,
        rules: Rules[Object],
        listener: Listener,
        closers: trio.Nursery,
    ) -> None:
        """*closers*: the owner's nursery, in which objects are closed."""
        self.core: PoolCore[Task, int, Object] = PoolCore(
            policy.size,
            max_waiters=policy.max_waiters,
            max_wait=policy.max_wait,
            max_idle=policy.max_idle,
            max_life=policy.max_life,
            validate=rules.validate,
        )
        self.failures: list[Exception] = []
        self._name = name
        self._policy = policy
        self._rules = rules
        self._listener = listener
        self._closers = closers
        self._parking = Parking(name, self.core.line, policy.max_wait, listener)
        self._root = current_root_task()
        self._seen: Task | None = None
        self._context, self._look = find_context(), find_look()
        self._changed = trio.lowlevel.ParkingLot()
        self._open = True
        self._seized = False

    # ------------------------------------------------------------ a loan

    @enable_ki_protection
    async def __aenter__(self) -> Object:
        await checkpoint_if_cancelled()
        # `_arrive` written out: calling it would be 3 % of a loan, as is looking for the root task
        core, task = self.core, self._context.task
        if task is not self._seen or not self._open:
            self._see(task)
        if (core.lent or core.making) and surrounds(core.mark_of, task):
            raise GuardReentryError(guard=self._name)
        look = self._look
        mark = len(look(task) or ())
        if core.choosy:
            entry = core.take(task, mark, trio.current_time())
            self._bury()
        else:
            entry = core.take(task, mark, 0.0)
        if entry is not None:
            await cancel_shielded_checkpoint()
        elif core.reserve(task, mark):
            entry = await self._make(task)
        else:
            entry = await self._queue(task, mark) or await self._make(task)
        if self._seized:  # the owner has left meanwhile, and taken it
            raise PoolClosedError(pool=self._name)
        return entry.value

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if error is not None or not self.core.put(self._context.task):
            self.give_back(error)

    def take_nowait(self) -> Object:
        """Borrow an object that lies ready.

        Raises:
            PoolExhaustedError: none does.
        """
        task = self._arrive()
        entry = self.core.take(task, len(task.child_nurseries), trio.current_time())
        self._bury()
        if entry is None:
            refusal = self._parking.reject(self.core.line.refuse("idle"))
            raise PoolExhaustedError(guard=self._name, reason=refusal)
        return entry.value

    def give_back(self, error: BaseException | None) -> None:
        """Take back what the running task was lent; *error* is how its body ended. Not a checkpoint."""
        core, task = self.core, current_task()
        broken = error is not None and not self._is_reusable(task, error)
        now = trio.current_time() if core.choosy else 0.0
        try:
            heir = core.give_back(task, now, broken=broken)
        except KeyError:
            if self._seized:  # with all that was lent, when the owner left
                return
            raise GuardMisuseError(guard=self._name, reason=NOT_ENTERED) from None
        # first of all wake the heir: what is told by then may cancel it
        if heir is not None or not self._open:
            self._hand_on(heir)
        if core.doomed:
            self._bury()

    def _arrive(self) -> Task:
        """The running task, if it may borrow."""
        task = current_task()
        self._see(task)
        if surrounds(self.core.mark_of, task):
            raise GuardReentryError(guard=self._name)
        return task

    def _see(self, task: Task) -> None:
        """Refuse *task* if it may not borrow: the pool is closed, or it is of another run, unlike the task seen last."""
        if not self._open:
            raise PoolClosedError(pool=self._name)
        if current_root_task() is not self._root:
            raise GuardInUseError(guard=self._name)
        self._seen = task

    async def _queue(self, task: Task, mark: int) -> Entry[Object, int] | None:
        """Wait for an object; None: may make one."""
        refusal = await self._parking.queue(task, mark)
        if refusal is not None:
            raise PoolExhaustedError(guard=self._name, reason=refusal)
        entry = self.core.lent.get(task)
        if entry is None and task not in self.core.making:  # taken away before it could run
            raise PoolClosedError(pool=self._name)
        return entry

    # ------------------------------------------------------------ making

    async def _make(self, task: Task) -> Entry[Object, int]:
        core = self.core
        try:
            value = await self._made()
        except BaseException:
            self._hand_on(core.unmade(task))
            raise
        now = trio.current_time()
        entry = core.made(task, value, now)
        if self._listener.on:
            self._listener.tell(
                ResourceOpened(guard=self._name, timestamp=now, size=core.existing)
            )
        if self._seized:  # the owner, who would close it, has left
            core.give_back(task, now, broken=False)
            core.doomed.clear()
            await self._close(entry)
        else:
            await cancel_shielded_checkpoint()
        return entry

    @disable_ki_protection
    async def _made(self) -> Object:
        return await self._rules.factory()

    def _hand_on(self, heir: Task | None) -> None:
        """Something became free, and *heir* has it."""
        if heir is not None:
            self._parking.wake(heir)
        if not self._open:
            self._changed.unpark_all()

    # ------------------------------------------------------------ closing

    def _bury(self) -> None:
        """Have closed what must be."""
        doomed, self.core.doomed = self.core.doomed, []
        for entry in doomed:
            if entry.fault is not None:
                self._listener.complain(entry.fault)
            if self._rules.close is None:
                self._closed(entry)
            else:
                self._closers.start_soon(self._close, entry)

    # as much of a checkpoint as the user's function is
    async def _close(self, entry: Entry[Object, int]) -> None:  # noqa: ASYNC910
        try:
            await self._shut_down(entry.value)
        except Exception as error:  # noqa: BLE001 - told as an event, and by the owner when it leaves
            self._listener.complain(error)
            if entry.doom == "pool_closed":
                self.failures.append(error)
        finally:
            self._closed(entry)

    async def _shut_down(self, value: Object) -> None:  # noqa: ASYNC910 - the same
        seconds = self._policy.close_timeout
        deadline = trio.current_time() + seconds
        with trio.CancelScope(shield=True, deadline=deadline) as scope:  # noqa: ASYNC912 - the same
            closing = self._rules.close and self._rules.close(value)
            if closing is not None:
                await closing
        if scope.cancelled_caught:
            limit = f"close_timeout of pool {self._name!r}"
            raise DeadlineExceededError(limit=limit, seconds=seconds)

    def _closed(self, entry: Entry[Object, int]) -> None:
        self._hand_on(self.core.closed())
        if self._listener.on:
            self._listener.tell(
                ResourceClosed(
                    guard=self._name,
                    timestamp=trio.current_time(),
                    reason=entry.doom or "broken",
                    size=self.core.existing,
                )
            )

    def _is_reusable(self, task: Task, error: BaseException) -> bool:
        entry = self.core.lent.get(task)
        if self._rules.reusable is None or entry is None:
            return False
        try:
            return self._rules.reusable(entry.value, error)
        except Exception as wrong:  # noqa: BLE001 - must not hide the body's error; told as an event
            self._listener.complain(wrong)
            return False

    # ------------------------------------------------------------ the owner leaves

    def stop(self) -> None:
        """Lend no more. Who waits is turned away, what is idle is closed, what is lent comes back."""
        self._open = False
        self._parking.turn_away(self.core.shut(), lambda: PoolClosedError(pool=self._name))
        self._bury()

    async def all_back(self) -> None:  # noqa: ASYNC910 - its caller is one
        """Wait until nothing is lent or being made."""
        while self.core.lent or self.core.making:
            await self._changed.park()

    async def close_all(self) -> None:  # noqa: ASYNC910 - its caller is one
        """Close also what is still lent, and wait until everything is closed."""
        self._seized = True
        self.core.seize()
        self._bury()
        while self.core.closing:
            await self._changed.park()
