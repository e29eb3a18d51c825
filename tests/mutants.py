"""Mistakes that tests have to notice: each is made in a copy of cryoedu, and the tests that should fail are run.

    python tests/mutants.py                # all of them: some minutes
    python tests/mutants.py leak momentum  # those whose names hold one of these words

A mistake that no test notices is told of, and the command ends with 1. `test_mutants.py` holds that each still fits the
code: one that has moved is to move here too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLD, LOOP = "tests/inference/test_gold.py", "tests/inference/test_loop.py"
RESOLVED, NOISE = "tests/validation/test_resolved.py", "tests/inference/test_noise.py"
FREE = "tests/inference/test_free.py"
ADAPTIVE, INITIAL = "tests/inference/test_adaptive.py", "tests/inference/test_gradient_descent.py"


@dataclass(frozen=True)
class Mutant:
    """``old`` text of a file of cryoedu, which stands there once, becomes ``new``; ``tests`` fail: a file, and words of
    `-k`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, str]


MUTANTS = [
    Mutant("gold standard: half of τ²", "inference/maximisation.py", "fsc / (1 - fsc) / np.maximum",
           "fsc / (1 - fsc) / 2 / np.maximum", (GOLD, "prior_is_what")),
    Mutant("gold standard: twice the SSNR", "inference/gold.py", "ssnr, tau2 = safe / (1 - safe)",
           "ssnr, tau2 = 2 * safe / (1 - safe)", (GOLD, "prior_is_what")),
    Mutant("gold standard: the map of all without its prior", "inference/gold.py", "solve(space, whole, prior,",
           "solve(space, whole, None,", (GOLD, "solved_with")),
    Mutant("gold standard: one shell more resolved", "inference/gold.py", "np.asarray(float(resolved))",
           "np.asarray(float(resolved + 1))", (GOLD, "prior_is_what")),
    Mutant("resolved: beyond the first gap too", "validation/resolved.py", "int(lost[0]) - 1 if len(lost)",
           "int(np.flatnonzero(holds)[-1]) if len(lost)", (RESOLVED, "first_gap")),
    Mutant("resolved: chance counts", "validation/resolved.py", "(curve >= threshold) & (chance < CHANCE)",
           "(curve >= threshold)", (RESOLVED, "first_gap")),
    Mutant("resolved: symmetric components count each", "validation/resolved.py", "limit * share / mates",
           "limit * share", (RESOLVED, "passes_seldom")),
    Mutant("resolved: a shell is one number, whatever its noise", "validation/resolved.py",
           "np.maximum(count * left, 1.0))", "1.0 + 0 * count)", (RESOLVED, "passes_seldom")),
    Mutant("gold standard: images are scored beyond what is resolved", "inference/gold.py",
           'known = int(before.get("measured", shells_so_far[-1:])[-1])', "known = None",
           (NOISE, "shared_and_one_shell")),
    Mutant("gold standard: what is not claimed is thrown away", "inference/gold.py", "np.where(shell <= measured,",
           "np.where(shell <= resolved,", (GOLD, "too_little_for_a_claim")),
    Mutant("gold standard: low shells leak into the next ones' FSC", "inference/gold.py",
           "s.beyond(stage.known).equations", "s.equations", (GOLD, "measured_apart")),
    Mutant("gold standard: the unmasked FSC for the prior", "inference/gold.py",
           "masked_fsc(one, two, inside, space.pixel_size).true", "correlate(one, two)",
           (GOLD, "prior_is_what")),
    Mutant("gold standard: a leak, the halves start from a map that they share", "inference/gold.py",
           "plain = [_unfiltered(e, space, xp) for e in equations]",
           "plain = [solve(space, e, weak_prior(e.weight), xp.asarray(models[0].maps), 3) for e in equations]",
           (GOLD, "images_alone")),
    Mutant("free components: compared too", "inference/spaces.py", "[0] if self.free else", "[0] if self.free < 0 else",
           (FREE, "nothing_is_made")),
    Mutant("free components: in the averages that a run begins with", "inference/free.py", "kept.astype(np.float64)",
           "np.ones(len(kept))", (FREE, "nothing_is_made")),
    Mutant("free components: in the seeds", "inference/free.py", "max(resolution, resolution_of(",
           "min(resolution, resolution_of(", (FREE, "seeds_know")),
    Mutant("free components: chance counts", "inference/free.py", "(overlap >= SURE * np.sqrt(energy))",
           "(overlap >= 0 * np.sqrt(energy))", (FREE, "there_and_not_by_chance")),
    Mutant("free components: what the prior has filtered is taken as it is", "inference/free.py",
           "fsc2 = filtered * overlap", "fsc2 = overlap", (FREE, "square_of_the_fsc")),
    Mutant("free components: a run that saw them is believed", "inference/free.py",
           'return free if after is None or "resolved_by_class" in after.state else 0.0', "return free",
           (FREE, "who_goes_on")),
    Mutant("the SSNR is written as a resolution", "runs/model_star.py",
           "np.zeros(count, dtype=int) if resolved is None",
           "np.argmax(np.c_[ratio[:, 1:], np.zeros(count)] < 1, axis=1) if resolved is None and ratio is not None",
           ("tests/runs/test_model_star.py", "no_resolution")),
    Mutant("a signal that fades overflows", "inference/maximisation.py", "np.maximum(fudge * tau2, LEAST_POWER)",
           "np.maximum(fudge * tau2, np.finfo(np.float64).tiny)", (LOOP, "its_own_and_where")),
    Mutant("twice the signal power", "inference/model.py", "tau2 = 0.5 * radial_mean", "tau2 = radial_mean",
           (LOOP, "white_noise")),
    Mutant("twice the variance of the shifts", "inference/mstep.py", "sums.shift_square / (2 * class_counts.sum())",
           "sums.shift_square / class_counts.sum()", (LOOP, "spread_of_the_shifts")),
    Mutant("the prior closes what was not looked for", "inference/maximisation.py", "np.where(tau2 > 0, 1 /",
           "np.where(tau2 >= 0, 1 /", (LOOP, "shells_open")),
    Mutant("what a mask spreads is a signal", "inference/mstep.py", 'new.get("maps", model.maps), space.radius)',
           'new.get("maps", model.maps))', (LOOP, "shells_open")),
    Mutant("weights: neighbours count twice", "inference/sums.py", "np.roll(w, -1, axis)) / 2",
           "np.roll(w, -1, axis))", (ADAPTIVE, "own_grid")),
    Mutant("weights: the conjugates' neighbours are others", "inference/sums.py", "np.concatenate([beyond, w",
           "np.concatenate([w[..., 1:2], w", (ADAPTIVE, "own_grid")),
    Mutant("adaptive search: one shift goes on", "inference/adaptive.py",
           "_holding(image.of_shifts, share)]", "_holding(image.of_shifts, share)[:1]]",
           (ADAPTIVE, "every_level")),
    Mutant("adaptive search: a hundred at most", "inference/adaptive.py", "share)) + 1]", "share)) + 1][:100]",
           (ADAPTIVE, "follows_the_share")),
    Mutant("points of a grid: what finds no room is lost", "inference/points.py", "np.flatnonzero(rows < 0)",
           "np.flatnonzero(rows < -1)", (ADAPTIVE, "room")),
    Mutant("points of a grid: sums are not forgotten", "inference/points.py",
           "self.numerators[taken, :], self.weights[taken, :], self.used[taken] = 0.0, 0.0, False", "pass",
           (ADAPTIVE, "room")),
    Mutant("gradient descent: the prior of a batch inverted", "inference/gradient_descent.py",
           "tau2_fudge * count / len(batch)", "tau2_fudge * len(batch) / count", (INITIAL, "momentum_keeps")),
    Mutant("gradient descent: no momentum", "inference/gradient_descent.py", 'momentum * before["velocity"] +',
           '0 * before["velocity"] +', (INITIAL, "momentum_keeps")),
    Mutant("reconstruction: the SSNR of one half", "inference/reconstruction.py",
           "signal_from_fsc(correlation, weight)", "signal_from_fsc(correlation, 2 * weight)",
           ("tests/inference/test_reconstruction.py", "twice_the_ssnr")),
    Mutant("masked FSC: no gap", "validation/masked.py", "GAP = 2 ", "GAP = 0 ",
           ("tests/validation/test_masked.py", "correction_begins")),
    Mutant("cluster: each thread takes all memory", "inference/cluster.py", "budget //= worker.state.nthreads",
           "budget //= 1", ("tests/inference/test_cluster.py", "share_its_memory")),
    Mutant("cluster: poses of other particles", "inference/cluster.py", "stage.search.of(rows[mine])",
           "stage.search.of(mine)", ("tests/inference/test_cluster.py", "finds and folds and local")),
    Mutant("maxCC: every one of equals counts", "inference/assignment.py", "xp.astype(first & (flat", "xp.astype((flat",
           ("tests/inference/test_expectation.py", "among_equals")),
    Mutant("maxCC: one of equals in every lot", "inference/expectation.py", "assignment.single & (origin[rows] !=",
           "False & (origin[rows] !=", ("tests/inference/test_expectation.py", "among_equals")),
    Mutant("local search: light slices are left out, however many", "inference/kernels.py", "return weights > light",
           "return weights > 1e-4", ("tests/inference/test_local.py", "however_many")),
    Mutant("local search: a block waits for its few slices", "inference/local.py", "if 2 * sum(sizes) < which.size:",
           "if False:", ("tests/inference/test_local.py", "waits")),
    Mutant("adaptive search: off the CPU, too, one by one", "inference/adaptive.py",
           "max(points.at_once // len(points.turns), 1)", "1", (ADAPTIVE, "equal_numbers")),
    Mutant("a CuPy without a device is asked for its memory", "arrays.py", " or cupy_problem() is not None:", ":",
           ("tests/test_no_gpu.py", "memory")),
]


def main(words: list[str]) -> int:
    """Make each mistake whose name holds one of ``words`` (all, if there are none); 1 if one is not noticed, else 0."""
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    missed = []
    with tempfile.TemporaryDirectory(prefix="cryoedu-mutants-") as folder:
        copy = Path(folder)
        for name in ("cryoedu", "tests"):
            shutil.copytree(ROOT / name, copy / name)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in chosen:
            noticed = is_noticed(mutant, copy)
            print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutant.name}", flush=True)
            missed += [] if noticed else [mutant]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mistakes are noticed")
    return int(bool(missed))


def is_noticed(mutant: Mutant, copy: Path) -> bool:
    """Whether the tests of ``mutant`` fail once it is made in the copy, which is mended again afterwards.

    Raises RuntimeError if they cannot be run.
    """
    file, (tests, words) = copy / "cryoedu" / mutant.file, mutant.tests
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run([*pytest, tests, "-k", words], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
                              capture_output=True, text=True, check=False)
    finally:
        file.write_text(text, encoding="utf-8")
    if done.returncode not in (0, 1):  # no such test, or it cannot be imported
        raise RuntimeError(f"{mutant.name}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
