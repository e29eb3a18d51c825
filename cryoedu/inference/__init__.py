"""The lecture: scores, assignments, posterior, maximisation, and the loop that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
    from cryoedu.inference.em import align2d, classify2d, classify3d, refine, seeds_from_subsets
    from cryoedu.inference.gold import gold_standard
    from cryoedu.inference.gradient_descent import stochastic_gradient_descent
    from cryoedu.inference.hillclimbing import stochastic_hill_climbing
    from cryoedu.inference.loop import opening
    from cryoedu.inference.model import Iteration, Model, Posterior
    from cryoedu.inference.posteriors import log_scores, whole_posterior
    from cryoedu.inference.reconstruction import reconstruct
    from cryoedu.inference.settings import Sampling
    from cryoedu.inference.start import mean_image, random_subsets, start_model

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={  # Numba and SciPy load when they are needed
    "assignment": ["MAXIMUM_CROSS_CORRELATION", "MAXIMUM_LIKELIHOOD"],
    "em": ["align2d", "classify2d", "classify3d", "refine", "seeds_from_subsets"],
    "gold": ["gold_standard"],
    "gradient_descent": ["stochastic_gradient_descent"],
    "hillclimbing": ["stochastic_hill_climbing"],
    "loop": ["opening"],
    "model": ["Iteration", "Model", "Posterior"],
    "posteriors": ["log_scores", "whole_posterior"],
    "reconstruction": ["reconstruct"],
    "settings": ["Sampling"],
    "start": ["mean_image", "random_subsets", "start_model"],
})
__all__ = ["MAXIMUM_CROSS_CORRELATION", "MAXIMUM_LIKELIHOOD", "Iteration", "Model", "Posterior", "Sampling", "align2d",
           "classify2d", "classify3d", "gold_standard", "log_scores", "mean_image", "opening", "random_subsets",
           "reconstruct", "refine", "seeds_from_subsets", "start_model", "stochastic_gradient_descent",
           "stochastic_hill_climbing", "whole_posterior"]
