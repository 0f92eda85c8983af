"""Options: of Step, of @step, of with_; the fallback has the type of the result."""

from __future__ import annotations

from newsroom import HTTP, TOKENS, Article, Client, Write, archive, review, write

from agentflow_trio import END, Fallback, Step, step

# ---- a misspelt option
Step(Write(), timout=3.0)  # bad

# ---- an option there is not
Step(Write(), retries=3)  # bad

# ---- the name without its keyword
Step(Write(), "write")  # bad

# ---- a name that is no text
Step(Write(), name=3)  # bad

# ---- no name, said so
Step(Write(), name=None)  # bad

# ---- a timeout as text
Step(Write(), timeout="3s")  # bad

# ---- an idle timeout as text
Step(Write(), idle_timeout="3s")  # bad

# ---- visits in part
Step(Write(), max_visits=2.5)  # bad

# ---- a resource by its name
Step(Write(), uses="http")  # bad

# ---- a resource that is not in a tuple
Step(Write(), uses=HTTP)  # bad

# ---- the client instead of its resource
Step(Write(), uses=(Client(),))  # bad

# ---- a stream among the resources
Step(Write(), uses=(TOKENS,))  # bad

# ---- a version that is no text
Step(Write(), version=2)  # bad

# ---- a bare value as the fallback
Step(Write(), fallback="text")  # bad

# ---- a fallback of another type than the result
Step(Write(), fallback=Fallback(3))  # bad


# ---- a function as fallback, of another type than the result
def one(error: Exception) -> int:
    return len(str(error))


Step(Write(), fallback=Fallback(by=one))  # bad


# ---- a function as fallback that takes no error
def nothing() -> str:
    return ""


Step(Write(), fallback=Fallback(by=nothing))  # bad


# ---- a fallback that awaits
async def later(error: Exception) -> str:
    return str(error)


Step(Write(), fallback=Fallback(by=later))  # bad

# ---- a fallback for an error object
Fallback("", on=(ValueError("no"),))  # bad

# ---- a fallback for one error, not in a tuple
Fallback("", on=ValueError)  # bad

# ---- a fallback for what is no failure
Fallback("", on=(KeyboardInterrupt,))  # bad

# ---- a fallback without a value
Fallback()  # bad


# ---- a fallback with a value and a function
def same(error: Exception) -> str:
    return str(error)


Fallback("text", by=same)  # bad


# ---- @step: a misspelt option
@step(timout=3.0)  # bad
async def misspelt(article: Article) -> None: ...


# ---- @step: an option of the wrong type
@step(max_visits="twice")  # bad
async def twice(article: Article) -> None: ...


# ---- @step: there is no result to fall back on
@step(fallback=Fallback(3))  # bad
async def fallen(article: Article) -> None: ...


# ---- @step with options, over a function that is not async
@step(timeout=3.0)  # bad
def not_async(article: Article) -> None: ...


# ---- @step with the name without its keyword
@step("quick")  # bad
async def quick(article: Article) -> None: ...


# ---- with_: a misspelt option
write.with_(timout=3.0)  # bad

# ---- with_: an option of the wrong type
write.with_(timeout="3s")  # bad

# ---- with_: the exits stay
review.with_(name="second_review").to(approved=END)  # bad

# ---- with_: a fallback, which belongs where the node's types are known
write.with_(fallback=Fallback(3))  # bad

# ---- with_: another node
write.with_(node=Write())  # bad

# ---- a policy that there is not
print(archive.policies.retries)  # bad

# ---- policies do not change
archive.policies.timeout = 3.0  # bad
