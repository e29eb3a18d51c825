"""The lecture: scores, assignments, posterior, maximisation, and the loop that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
    from cryoedu.inference.hillclimbing import stochastic_hill_climbing
    from cryoedu.inference.initial import stochastic_gradient_descent
    from cryoedu.inference.jobs import align2d, classify2d, classify3d
    from cryoedu.inference.loop import opening, refine, start_model
    from cryoedu.inference.model import Iteration, Model, Posterior
    from cryoedu.inference.reconstruction import reconstruct

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={  # Numba and SciPy load when they are needed
    "assignment": ["MAXIMUM_CROSS_CORRELATION", "MAXIMUM_LIKELIHOOD"],
    "hillclimbing": ["stochastic_hill_climbing"],
    "initial": ["stochastic_gradient_descent"],
    "jobs": ["align2d", "classify2d", "classify3d"],
    "loop": ["opening", "refine", "start_model"],
    "model": ["Iteration", "Model", "Posterior"],
    "reconstruction": ["reconstruct"],
})
__all__ = ["MAXIMUM_CROSS_CORRELATION", "MAXIMUM_LIKELIHOOD", "Iteration", "Model", "Posterior", "align2d",
           "classify2d", "classify3d", "opening", "reconstruct", "refine", "start_model", "stochastic_gradient_descent",
           "stochastic_hill_climbing"]
