"""A job from a shell: a progress bar over the loop, and files that RELION and ChimeraX open after each turn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from cryoedu.inference.expectation import Tick
from cryoedu.inference.model import Checkpoint, Iteration
from cryoedu.inference.scales import micrograph_groups
from cryoedu.microscope.specimen import write_map
from cryoedu.particles.particles import Particles
from cryoedu.particles.resampling import as_on_disk
from cryoedu.particles.star import write_particles
from cryoedu.runs.folder import RunFolder
from cryoedu.runs.model_star import write_model
from cryoedu.runs.status import watched

Solver = Callable[[Tick, Checkpoint | None], Iterator[Iteration]]  # from the start, or on from a checkpoint


def run(job: Solver, particles: Particles, folder: RunFolder, iterations: int, *, every: int = 1) -> Iteration | None:
    """Run ``job`` to its end, writing run_itNNN_{data,model}.star, the maps and a checkpoint after every iteration.

    every: only after each so many of them, and after the last one.

    The bar shows the iteration, log-likelihood, Å of the shells in use and the time to the end; where no terminal is (a
    log), each iteration gets a line instead. If the job is interrupted, what it wrote until then stays, and can be gone
    on from. None if there was no iteration left to do.
    """
    last: Iteration | None = None
    done = 0 if folder.last is None else folder.last.number
    style = "{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]"
    with (watched(folder.path, done, iterations, sys.argv[1:]) as turned,
          tqdm(total=iterations, initial=done, delay=1, bar_format=style, disable=None) as bar):
        def tick(share: float) -> None:
            bar.update(min(done + 0.95 * share, iterations) - bar.n)

        started = time.perf_counter()

        def keep(iteration: Iteration) -> None:
            nonlocal started
            prefixes = [f"run_it{iteration.number:03d}"]
            if "halves" in iteration.state and (iteration.state["finished"] or iteration.number == iterations):
                prefixes.append("run")  # before the checkpoint, after which nothing would be done again
            for prefix in prefixes:
                write_iteration(iteration, particles, folder.path / prefix)
            now = time.perf_counter()
            folder.add(iteration, now - started)
            started = now

        for iteration in job(tick, folder.last):
            if last is None:
                folder.begin()
            last, done = iteration, iteration.number
            if done % every == 0 or done == iterations:
                keep(iteration)
            turned(done)
            bar.update(done - bar.n)
            said = f"log L {iteration.log_likelihood:.0f}, {iteration.resolution:.1f} Å used"
            bar.set_postfix_str(said, refresh=False)
            if bar.disable:
                print(f"iteration {done} of at most {iterations}: {said}", file=sys.stderr, flush=True)
        if last is not None and (folder.last is None or folder.last.number < last.number):
            keep(last)  # it converged between two that are written
        folder.finish()
    return last


def write_iteration(iteration: Iteration, particles: Particles, prefix: Path) -> None:
    """Write PREFIX_data.star (poses, classes, their probabilities) and PREFIX_model.star with its maps.

    Of two halves PREFIX_half1_class001_unfil.mrc and PREFIX_half2_… too: neither filtered nor masked.
    """
    model, names, group = iteration.model, [o.name for o in particles.optics], particles.optics_group
    if len(model.scales):  # RELION has one table of groups: each micrograph with the noise of its optics group
        names, group = micrograph_groups(particles)
        optics = particles.optics_group[np.unique(group, return_index=True)[1]]
        model = replace(model, sigma2=model.sigma2[optics])
    for half, density in enumerate(iteration.state.get("halves", ()), start=1):
        write_map(density, prefix.with_name(f"{prefix.name}_half{half}_class001_unfil.mrc"), model.pixel_size)
    write_model(model, prefix.with_name(prefix.name + "_model.star"), ssnr=iteration.ssnr, fsc=iteration.fsc,
                resolved=iteration.resolved_by_class, group_names=names,
                group_sizes=np.bincount(group, minlength=len(names)).tolist(),
                group_scales=model.scales.tolist(), tau2_fudge=iteration.tau2_fudge or 1.0,
                log_likelihood=iteration.log_likelihood, average_pmax=float(iteration.posterior.max_probability.mean()))
    write_particles(as_on_disk(with_posterior(particles, iteration)), prefix.with_name(prefix.name + "_data.star"))


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
