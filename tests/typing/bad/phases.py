"""Phases: three async methods; what one returns, the next takes."""
# ruff: noqa: ANN001, ANN201 - some of what is wrong here, ruff sees too

from __future__ import annotations

from collections.abc import AsyncIterator

from newsroom import Article, Order, Review, Write

from agentflow_trio import END, Next, Step, Work, step
from agentflow_trio.testing import phases


# ---- exec does not take what prep returns
class Deaf:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: bytes) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(Deaf())  # bad


# ---- post does not take what exec returns
class Mute:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: str) -> None: ...


Step(Mute())  # bad


# ---- post does not take what prep returns
class Muddled:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: int, length: int) -> None: ...


Step(Muddled())  # bad


# ---- prep and post are for two states
class Torn:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Order, topic: str, length: int) -> None: ...


Step(Torn()).then(END).source.node.prep(Article("trio"))  # bad


# ---- a synchronous prep
class SyncPrep:
    def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(SyncPrep())  # bad


# ---- a synchronous exec
class SyncExec:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(SyncExec())  # bad


# ---- a synchronous post
class SyncPost:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(SyncPost())  # bad


# ---- a phase is missing
class NoPost:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)


Step(NoPost())  # bad


# ---- exec wants the state too
class Nosy:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, shared: Article, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(Nosy())  # bad


# ---- exec yields
class Yielding:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> AsyncIterator[int]:
        yield len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(Yielding())  # bad


# ---- post returns something else than an exit
class Chatty:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> int:
        return length


Step(Chatty())  # bad


# ---- a phase without annotations
class Untold:
    async def prep(self, shared):  # bad
        return shared.topic  # bad: pyright

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


# ---- a class instead of a node
Step(Write)  # bad

# ---- a function instead of a node
Step(len)  # bad

# ---- no node at all
Step()  # bad


# ---- inheriting Work with a synchronous exec
class SharpSync(Work[Article, str, int]):
    async def prep(self, shared: Article) -> str:
        return shared.topic

    def exec(self, topic: str) -> int:  # bad
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


# ---- inheriting Work with another type between the phases
class SharpDeaf(Work[Article, str, int]):
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: bytes) -> int:  # bad
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


# ---- inheriting Work and taking what exec does not return
class SharpMute(Work[Article, str, int]):
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: str) -> None: ...


Step(SharpMute())  # bad


# ---- a subclass changes what exec returns
class Grading(Review):
    async def exec(self, draft: str) -> str:  # bad
        return draft


# ---- a subclass adds an exit
class Postponing(Review):
    async def post(  # bad
        self,
        shared: Article,
        draft: str,
        good: bool,
        *,
        approved: Next,
        rejected: Next,
        postponed: Next,
    ) -> Next:
        return postponed


# ---- a constructor argument of the wrong type
class Threshold:
    def __init__(self, threshold: int) -> None:
        self.threshold = threshold

    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> int:
        return len(topic)

    async def post(self, shared: Article, topic: str, length: int) -> None: ...


Step(Threshold("9"))  # bad


# ---- an attribute that the state has not
class Misspelling:
    async def prep(self, shared: Article) -> str:
        return shared.tpoic  # bad


# ---- a function step that is not async
@step  # bad
def not_async(article: Article) -> None:
    article.draft = ""


# ---- a function step that returns something
@step  # bad
async def returning(article: Article) -> str:
    return article.draft


# ---- a function step without the state
@step  # bad
async def stateless() -> None: ...


# ---- a node alone with another state
async def alone() -> None:
    await phases(Write(), Order())  # bad


# ---- the result of a node alone
async def alone_too() -> None:
    seen = await phases(Review(), Article("trio"))
    length: str = seen.result  # bad
    print(length)


# ---- the exit of a node alone
async def exit_alone() -> None:
    seen = await phases(Review(), Article("trio"))
    taken: str = seen.exit  # bad
    print(taken)


# ---- post alone, without its exits
async def post_alone() -> None:
    await Review().post(Article("trio"), "", True, approved=Next())  # bad
