"""Exits: a branching step names every way out, once, and leads it somewhere."""
# ruff: noqa: F821, RET503 - some of what is wrong here, ruff sees too

from __future__ import annotations

from newsroom import Article, Review, archive, editing, review, write

from agentflow_trio import END, Next, Step, step

# ---- a misspelt exit
review.to(aproved=END, rejected=END)  # bad

# ---- a missing exit
review.to(approved=END)  # bad

# ---- no exit at all
review.to()  # bad

# ---- one exit too many
review.to(approved=END, rejected=END, postponed=END)  # bad

# ---- then on a branching step
review.then(END)  # bad

# ---- an exit of a step that has none
write.to(approved=END)  # bad

# ---- an exit of a function step that has none
archive.to(done=END)  # bad

# ---- a step by its name
review.to(approved="archive", rejected=END)  # bad

# ---- a node for a target, not a step
write.then(Review())  # bad

# ---- a class for a target
write.then(Review)  # bad

# ---- an edge for a target
review.to(approved=archive.then(END), rejected=END)  # bad

# ---- None for the end
write.then(None)  # bad

# ---- then without a target
write.then()  # bad

# ---- then by keyword
write.then(target=END)  # bad

# ---- the exits of a nested flow
edit = Step(editing)
edit.to(published=END)  # bad

# ---- a misspelt exit of a nested flow
Step(editing).to(published=END, abandonned=END)  # bad

# ---- then on a nested flow that has exits
Step(editing).then(END)  # bad


# ---- a branching function step
@step
async def triage(article: Article, *, long: Next, short: Next) -> Next:
    return long if len(article.topic) > 9 else short


triage.to(long=write)  # bad


# ---- a branching function step with options
@step(timeout=3.0)
async def slow_triage(article: Article, *, long: Next, short: Next) -> Next:
    return long if len(article.topic) > 9 else short


slow_triage.to(long=write, shrt=END)  # bad


# ---- exits returned by name
class StrExit(Review):
    async def post(  # bad
        self, shared: Article, draft: str, good: bool, *, approved: Next, rejected: Next
    ) -> str:
        return "approved"


# ---- exits returned by name, without inheriting
class Named:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(self, shared: Article, draft: str, good: bool, *, approved: Next) -> str:
        return "approved"


Step(Named())  # bad


# ---- exits taken as text
class StrParameter:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(self, shared: Article, draft: str, good: bool, *, approved: str) -> Next:
        return END


Step(StrParameter()).to(approved=END)  # bad


# ---- an exit that post does not name
class Unnamed:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(self, shared: Article, draft: str, good: bool, *, approved: Next) -> Next:
        return approved if good else rejected  # bad


# ---- a way through post without an exit
class Forgetful:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(self, shared: Article, draft: str, good: bool, *, ok: Next) -> Next:  # bad
        if good:
            return ok


# ---- a function step that returns its exit by name
@step  # bad
async def by_name(article: Article, *, long: Next) -> str:
    return "long"


# ---- a step called like a function
write(Article("trio"))  # bad
