"""Random flows: well-formed ones are accepted and run as their spec says; one mistake is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs
import pytest
from flow_strategies import (
    Board,
    Dice,
    FlowSpec,
    build,
    flow_specs,
    predicted,
    throws,
    wiring_of,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agentflow_trio import (
    END,
    Edge,
    Exit,
    FlowDefinitionError,
    Next,
    Step,
    StepLimitError,
    step,
)

pytestmark = pytest.mark.slow

Lines: TypeAlias = list[Any]
Mutation: TypeAlias = Callable[[Lines, Mapping[str, Next], int], Lines]


# there are many kinds: a quarter of the flows for each; `fuzz` has 500
EXAMPLES: Final = settings().max_examples
MISTAKES: Final = min(EXAMPLES, max(25, EXAMPLES // 4))


@given(spec=flow_specs())
def test_a_well_formed_flow_is_accepted(spec: FlowSpec) -> None:
    made = build(spec)
    assert made.exits == spec.exits
    assert [edge.source.name for edge in made.edges] == [each.name for each in spec.steps]
    for edge, each in zip(made.edges, spec.steps, strict=True):
        assert edge.source.exits == tuple(name for name in each.routes if name)
        assert (edge.source.flow is not None) == (each.inner is not None)
    assert len(made.plan.steps) == len(spec.steps)


@given(spec=flow_specs(), dice=throws)
async def test_a_run_goes_where_the_spec_says(spec: FlowSpec, dice: tuple[int, ...]) -> None:
    story = predicted(spec, dice)
    result = await build(spec).run(Board(Dice(dice)))
    assert result.exit == story.exit
    assert result.state.trail == story.trail
    assert result.visits == {path: story.visits.count(path) for path in story.visits}
    assert result.steps == len(story.visits)
    plain = tuple(
        "/".join(segment.partition("#")[0] for segment in path.split("/"))
        for path in result.tail
    )
    assert plain == story.visits[-100:]


@given(spec=flow_specs(), dice=throws, data=st.data())
async def test_replacing_every_node_by_itself_changes_nothing(
    spec: FlowSpec, dice: tuple[int, ...], data: st.DataObject
) -> None:
    made = build(spec)
    chosen = data.draw(st.sets(st.sampled_from(range(len(made.edges)))))
    steps = [made.edges[index].source for index in sorted(chosen)]
    again = made.replacing({each: each.node for each in steps})
    before, after = [await each.run(Board(Dice(dice))) for each in (made, again)]
    assert (before.exit, before.state.trail, before.visits, before.tail) == (
        after.exit,
        after.state.trail,
        after.visits,
        after.tail,
    )


# ---------------------------------------------------------------- one mistake


def drop_line(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(0 < at < len(lines))
    return [*lines[:at], *lines[at + 1 :]]


def double_line(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines, lines[at]]


def stand_alone(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines[:at], lines[at].source, *lines[at + 1 :]]


def not_a_line(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines[:at], lines[at], None, *lines[at + 1 :]]


def same_name(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    lines[0] = lines[0].catch(
        LookupError, to=(again := Step(Plain(), name=lines[at].source.name))
    )
    return [*lines, again.then(next(iter(doors.values()), END))]


def retarget(line: Edge[Any], at: int, target: Any) -> Edge[Any]:
    targets = dict(line.targets)
    targets[list(targets)[at % len(targets)]] = target
    return attrs.evolve(line, targets=targets)


def lead_to_end(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(doors)
    return [*lines[:at], retarget(lines[at], at, END), *lines[at + 1 :]]


def lead_to_a_foreign_exit(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    foreign = Exit(next(iter(doors), "end"))
    return [*lines[:at], retarget(lines[at], at, foreign), *lines[at + 1 :]]


def lead_to_a_name(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    name = lines[0].source.name
    return [*lines[:at], retarget(lines[at], at, name), *lines[at + 1 :]]


def lead_to_a_step_without_a_line(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines[:at], retarget(lines[at], at, Step(Plain())), *lines[at + 1 :]]


def drop_exit(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(lines[at].source.exits)
    targets = dict(lines[at].targets)
    del targets[lines[at].source.exits[0]]
    return [*lines[:at], attrs.evolve(lines[at], targets=targets), *lines[at + 1 :]]


def misspell_exit(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(lines[at].source.exits)
    targets = {f"{name}x": target for name, target in lines[at].targets.items()}
    return [*lines[:at], attrs.evolve(lines[at], targets=targets), *lines[at + 1 :]]


def then_instead_of_to(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(lines[at].source.exits)
    target = next(iter(lines[at].targets.values()))
    return [*lines[:at], lines[at].source.then(target), *lines[at + 1 :]]


def lead_nowhere(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    assume(not lines[at].source.exits)
    return [*lines[:at], lines[at].source.to(), *lines[at + 1 :]]


def orphan(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines, Step(Plain(), name="orphan").then(next(iter(doors.values()), END))]


def trap(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    stuck = Step(Plain(), name="stuck")
    return [
        *lines[:at],
        lines[at].catch(LookupError, to=stuck),
        *lines[at + 1 :],
        stuck.then(stuck),
    ]


def forget_an_exit(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    """Whatever took the flow's last exit takes another one, or goes back to the start."""
    assume(doors)
    last, other = [*doors.values()][-1], [lines[0].source, *doors.values()][-2]
    return [
        attrs.evolve(
            line,
            targets={name: other if to is last else to for name, to in line.targets.items()},
            catches=tuple(
                attrs.evolve(each, target=other) if each.target is last else each
                for each in line.catches
            ),
        )
        for line in lines
    ]


def catch_twice(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    target = lines[at].source
    line = lines[at].catch(ArithmeticError, to=target).catch(ZeroDivisionError, to=target)
    return [*lines[:at], line, *lines[at + 1 :]]


def catch_what_ends_the_run(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return [*lines[:at], lines[at].catch(StepLimitError, to=lines[at].source), *lines[at + 1 :]]


def no_lines(lines: Lines, doors: Mapping[str, Next], at: int) -> Lines:
    return []


class Plain:
    async def prep(self, shared: Board) -> None: ...

    async def exec(self, prepared: None) -> None: ...

    async def post(self, shared: Board, prepared: None, result: None) -> None: ...


MUTATIONS: dict[Mutation, str] = {
    drop_line: "no_line",
    double_line: "wired_twice",
    stand_alone: "not_a_line",
    not_a_line: "not_a_line",
    same_name: "duplicate_name",
    lead_to_end: "end_with_exits",
    lead_to_a_foreign_exit: "foreign_exit",
    lead_to_a_name: "not_a_target",
    lead_to_a_step_without_a_line: "no_line",
    drop_exit: "exit_unrouted",
    misspell_exit: "unknown_exit",
    then_instead_of_to: "exit_unrouted",
    lead_nowhere: "no_target",
    orphan: "unreachable",
    trap: "no_way_out",
    forget_an_exit: "exit_unused",
    catch_twice: "hidden_catch",
    catch_what_ends_the_run: "bad_catch",
    no_lines: "no_lines",
}


@pytest.mark.parametrize(
    ("mutation", "code"),
    MUTATIONS.items(),
    ids=[mutation.__name__ for mutation in MUTATIONS],
)
@settings(
    max_examples=MISTAKES, suppress_health_check=[HealthCheck.filter_too_much]
)  # not every flow can be mistaken so
@given(data=st.data())
def test_one_mistake_in_a_well_formed_flow_is_found(
    mutation: Mutation, code: str, data: st.DataObject
) -> None:
    spec = data.draw(flow_specs(depth=0))
    at = data.draw(st.integers(0, len(spec.steps) - 1))
    with pytest.raises(FlowDefinitionError) as caught:
        wiring_of(spec, lambda lines, doors: mutation(lines, doors, at))
    assert code in [problem.code for problem in caught.value.problems]
    assert caught.value.name == spec.name
    assert str(caught.value).startswith(f"flow {spec.name!r}")


@given(spec=flow_specs(depth=0), data=st.data())
def test_the_names_of_all_steps_with_a_mistake_are_told(
    spec: FlowSpec, data: st.DataObject
) -> None:
    wrong = data.draw(st.sets(st.sampled_from(range(len(spec.steps))), min_size=1))
    stray = step(name="stray")(_nothing)

    def mistaken(lines: Lines, doors: Mapping[str, Next]) -> Lines:
        return [
            line.catch(BlockingIOError, to=stray) if at in wrong else line
            for at, line in enumerate(lines)
        ]

    with pytest.raises(FlowDefinitionError) as caught:
        wiring_of(spec, mistaken)
    told = [problem.step for problem in caught.value.problems if problem.code == "no_line"]
    assert told == [spec.steps[at].name for at in sorted(wrong)]


async def _nothing(board: Board) -> None: ...
