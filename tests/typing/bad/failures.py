"""Failures: groups whose leaves are what the nodes raised."""

from __future__ import annotations

from collections.abc import Iterator

from newsroom import Article, editorial

from agentflow_trio import (
    AgentFlowError,
    DeadlineExceededError,
    FlowAbortedError,
    FlowDefinitionError,
    FlowFailedError,
    Problem,
    RunCancelledError,
)


# ---- the leaves are a method
def uncalled(failed: FlowFailedError) -> list[Exception]:
    return list(failed.leaves)  # bad


# ---- the leaves may be any error
def narrowed(failed: FlowFailedError) -> Iterator[ValueError]:
    return failed.leaves()  # bad


# ---- the only leaf may be any error
def only(failed: FlowFailedError) -> ValueError:
    return failed.only()  # bad


# ---- the failure of an error may be none
def where(failed: FlowFailedError, error: Exception) -> str:
    return failed.find(error).path  # bad


# ---- find wants an error, not its class
def by_class(failed: FlowFailedError) -> None:
    failed.find(ValueError)  # bad


# ---- the report is text
def report(failed: FlowFailedError) -> list[str]:
    return failed.report()  # bad


# ---- the state of a failure is of any class
def state(failed: FlowFailedError) -> str:
    return failed.state.draft  # bad


# ---- what was aborted may hold more than errors
def aborted(failed: FlowAbortedError) -> Iterator[Exception]:
    return failed.leaves()  # bad


# ---- a failure of a run is a group, not an error of this package
def as_ours(failed: FlowFailedError) -> AgentFlowError:
    return failed  # bad


# ---- a single error has no leaves
def single(error: DeadlineExceededError) -> None:
    error.leaves()  # bad


# ---- except* gives a group
async def star() -> None:
    try:
        await editorial.run(Article("trio"))
    except* DeadlineExceededError as group:
        print(group.limit)  # bad


# ---- except gives the group itself
async def plain() -> None:
    try:
        await editorial.run(Article("trio"))
    except FlowFailedError as failed:
        print(failed.limit)  # bad


# ---- a field of an error, misspelt
def misspelt(error: RunCancelledError) -> str:
    return error.resaon  # bad


# ---- the problems of a definition are records, not text
def problems(error: FlowDefinitionError) -> list[str]:
    return [*error.problems]  # bad


# ---- a problem does not change
def change(problem: Problem) -> None:
    problem.hint = "look again"  # bad


# ---- an error made without its fields
RunCancelledError()  # bad

# ---- an error made of positions
RunCancelledError("enough")  # bad

# ---- a group of classes
FlowFailedError("failed", [ValueError])  # bad

# ---- a group without errors
FlowFailedError("failed")  # bad


# ---- what split returns may be none
def split(failed: FlowFailedError) -> ExceptionGroup[ValueError]:
    return failed.split(ValueError)[0]  # bad
