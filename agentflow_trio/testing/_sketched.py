"""Running a recipe again to see what is drawn of it.

Layer: testing.
"""

from __future__ import annotations

import attrs

from ._looking import same_so_far, swept
from ._program import is_flow, title_of
from ._recipe import Recipe
from ._sketching import Noting, Sketcher
from ._timeline_core import Instants
from ._timeline_picture_core import Sketch
from ._world import Ended

__all__ = ["sketched"]


def sketched(recipe: Recipe, ended: Ended[object], instants: Instants) -> Sketch:
    """Run *recipe* again, which *ended* so and made its steps at these *instants*, and watch it.

    Raises:
        NondeterminismError: it did something else this time.
    """
    world, subject = recipe.world(), recipe.subject(recipe.used())
    trial = recipe.trial(world)
    noting = None if recipe.replay is None else Noting(trial.chooser)
    again = Instants()
    sketcher = Sketcher(
        world,
        title_of(recipe.program),
        is_flow=is_flow(recipe.program),
        ended=ended,
        noting=noting,
    )
    subject.heard = sketcher.heard

    def look() -> None:
        again.add(world.clock.time, world.order.steps)
        sketcher.look()

    def finish() -> None:
        look()
        sketcher.finish()

    swept(
        world,
        recipe,
        subject,
        look,
        begin=sketcher.begin,
        finish=finish,
        trial=attrs.evolve(trial, chooser=noting or trial.chooser),
    )
    same_so_far(instants, again)
    seed, code = recipe.seed, recipe.replay
    return sketcher.sketch(f"seed {seed}" if code is None else f"schedule {code}")
