"""A job from a shell: a progress bar over the loop, and files that RELION and ChimeraX open after each turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from cryoedu.files import check_writable
from cryoedu.inference.expectation import Tick
from cryoedu.inference.model import Iteration
from cryoedu.particles.model_star import write_model
from cryoedu.particles.particles import Particles
from cryoedu.particles.star import write_particles

Job = Callable[[Tick], Iterator[Iteration]]


def run(job: Job, particles: Particles, output: Path, iterations: int, *, tau2_fudge: float | None) -> Iteration:
    """Run ``job`` to its end, writing OUTPUT/run_itNNN_{data,model}.star and the maps after every iteration.

    The bar shows the iteration, log-likelihood, resolution and the time to the end. If the job is interrupted, what
    it wrote until then stays.
    """
    check_writable(output)
    last: Iteration | None = None
    style = "{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=iterations, delay=1, bar_format=style) as bar:
        def tick(share: float) -> None:
            done = 0 if last is None else last.number
            bar.update(min(done + 0.95 * share, iterations) - bar.n)

        for iteration in job(tick):
            write_iteration(iteration, particles, output / f"run_it{iteration.number:03d}", tau2_fudge=tau2_fudge)
            last = iteration
            bar.update(iteration.number - bar.n)
            bar.set_postfix_str(f"log L {iteration.log_likelihood:.0f}, {iteration.resolution:.1f} Å", refresh=False)
    assert last is not None
    return last


def write_iteration(iteration: Iteration, particles: Particles, prefix: Path, *, tau2_fudge: float | None) -> None:
    """Write PREFIX_data.star (poses, classes, their probabilities) and PREFIX_model.star with its maps."""
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics))
    write_model(iteration.model, prefix.with_name(prefix.name + "_model.star"), ssnr=iteration.ssnr,
                group_names=[o.name for o in particles.optics], group_sizes=sizes.tolist(),
                tau2_fudge=tau2_fudge or 1.0, log_likelihood=iteration.log_likelihood,
                average_pmax=float(iteration.posterior.max_probability.mean()))
    write_particles(with_posterior(particles, iteration), prefix.with_name(prefix.name + "_data.star"))


def with_posterior(particles: Particles, iteration: Iteration) -> Particles:
    """The particles with the poses and classes that the iteration found most probable.

    rlnMaxValueProbDistribution is the probability of the pose, as in RELION; rlnLogLikeliContribution the evidence of
    the particle up to a constant of its image.
    """
    found = iteration.posterior
    known = 0.0 if particles.shifts is None else particles.shifts
    extra = {**particles.extra, "rlnMaxValueProbDistribution": found.max_probability,
             "rlnLogLikeliContribution": found.log_evidence}
    return replace(particles, angles=found.angles, shifts=found.shifts + known, classes=found.classes, extra=extra)
