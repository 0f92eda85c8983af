"""SharedState: keys have types; merge rules fit their fields."""

from __future__ import annotations

from attrs import define, field
from newsroom import Article, archive

from agentflow_trio import (
    END,
    SharedState,
    StateKey,
    Wiring,
    added,
    flow,
    fork,
    latest,
    merge,
    merged_by,
    step,
    summed,
)

DRAFT = StateKey("draft", str)
COUNT = StateKey("count", int)
TAGS = StateKey("tags", tuple[str, ...])


class Board(SharedState):
    WORDS = StateKey("words", int)


shared = SharedState()

# ---- insert a value of another type
shared.insert(COUNT, "3")  # bad

# ---- insert by name
shared.insert("count", 3)  # bad

# ---- insert without a value
shared.insert(COUNT)  # bad

# ---- insert a value of another type in the brackets
shared.insert(TAGS, (1, 2))  # bad

# ---- what get returns may be missing
count: int = shared.get(COUNT)  # bad

# ---- get by name
shared.get("count")  # bad

# ---- get with a default of another type
count_or: int = shared.get(COUNT, "none")  # bad

# ---- what is under a key has its type
text: str = shared[COUNT]  # bad

# ---- brackets with a name
shared["count"]  # bad

# ---- brackets do not write
shared[COUNT] = 3  # bad

# ---- brackets do not delete
del shared[COUNT]  # bad


# ---- update with a function of another type
def longer(value: str) -> str:
    return value + "."


shared.update(COUNT, longer)  # bad


# ---- update with a function that returns another type
def spelt(value: int) -> str:
    return str(value)


shared.update(COUNT, spelt)  # bad

# ---- update with a value
shared.update(COUNT, 3)  # bad

# ---- remove by name
shared.remove("count")  # bad

# ---- what remove returns may be missing
removed: int = shared.remove(COUNT)  # bad

# ---- contains_key by name
shared.contains_key("count")  # bad

# ---- keys are not attributes
print(shared.count)  # bad

# ---- a key of another type than it says
strange: StateKey[str] = StateKey("draft", int)  # bad

# ---- a key of a union
StateKey("maybe", str | None)  # bad

# ---- a key without its class
StateKey("draft")  # bad

# ---- a key of an object
StateKey("draft", "")  # bad

# ---- a key does not change
COUNT.name = "number"  # bad


# ---- a rule of another type than its key
def both(base: str, theirs: str, mine: str) -> str:
    return base + theirs + mine


StateKey("count", int, rule=both)  # bad

# ---- a rule that appends, for a number
StateKey("count", int, rule=added)  # bad

# ---- a rule that sums, for a text
StateKey("draft", str, rule=summed)  # bad

# ---- a key of a subclass, of another type
board = Board()
board.insert(Board.WORDS, "many")  # bad

# ---- a key that the subclass has not
board.get(Board.SENTENCES)  # bad


# ---- a step for a subclass in a flow of the general state
@step
async def fill(wide: Board) -> None:
    wide.insert(Board.WORDS, 3)


@flow
def of_any() -> Wiring[SharedState]:
    return [fill.then(END)]  # bad


# ---- a step for articles in a flow of the blackboard
@flow
def of_articles() -> Wiring[SharedState]:
    return [archive.then(END)]  # bad


# ---- an article run on the blackboard's flow
@flow
def of_boards() -> Wiring[Board]:
    return [fill.then(END)]


async def with_another_state() -> None:
    await of_boards.run(SharedState())  # bad


# ---- a rule that takes two values
def two(base: int, mine: int) -> int:
    return base + mine


merged_by(two)  # bad


# ---- a rule that returns another type
def spoken(base: int, theirs: int, mine: int) -> str:
    return str(base + theirs + mine)


merged_by(spoken)  # bad

# ---- a rule by its name
merged_by("added")  # bad


# ---- a rule that is not in the metadata
@define
class Tally:
    count: int = field(default=0, metadata=summed)  # bad


# ---- a rule instead of its result
@define
class Notes:
    notes: tuple[str, ...] = field(default=(), merged_by=added)  # bad


# ---- added for numbers
added(1, 2, 3)  # bad

# ---- summed for text
summed("a", "b", "c")  # bad

# ---- latest of one value
latest("a")  # bad

# ---- a fork has the type of its state
forked: SharedState = fork(Article("trio"))  # bad

# ---- a merge has the type of its base
merged: Board = merge(Article("trio"), [])  # bad

# ---- a merge of branches without names
merge(Article("trio"), [Article("trio")])  # bad
