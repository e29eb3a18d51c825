"""The expectation on a cluster: the same result, wherever the blocks were looked at."""

from __future__ import annotations

import pickle
import sys
import threading
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from blobs import BOX, COUNT, HERE, PIXEL, six_blobs, two_classes, write_stack
from commandline import cryoedu

distributed = pytest.importorskip("distributed", reason="the extra is not installed: pip install 'cryoedu[cluster]'")

from cryoedu.errors import InputError  # noqa: E402
from cryoedu.geometry.grids import local_search, search_2d, search_3d  # noqa: E402
from cryoedu.geometry.masks import soft_sphere  # noqa: E402
from cryoedu.inference import cluster as clusters  # noqa: E402
from cryoedu.inference.adaptive import Adaptive  # noqa: E402
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION  # noqa: E402
from cryoedu.inference.crossfit import classify3d_in_folds, cross_fit  # noqa: E402
from cryoedu.inference.em import classify2d, classify3d, refine  # noqa: E402
from cryoedu.inference.gold import gold_standard  # noqa: E402
from cryoedu.inference.settings import Sampling  # noqa: E402
from cryoedu.inference.start import start_model  # noqa: E402
from cryoedu.particles import read_particles  # noqa: E402
from cryoedu.particles.resampling import resample  # noqa: E402
from cryoedu.particles.stack import ImageStack  # noqa: E402
from cryoedu.runs.checkpoints import read_checkpoint  # noqa: E402

SPACE = search_3d(0, shift_range=PIXEL, shift_step=PIXEL)


def threads(workers: int):
    """Workers that are threads of this process."""
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, processes=False,
                                    dashboard_address="127.0.0.1:0", silence_logs=50)


@pytest.fixture(scope="module")
def client():
    """Two workers, as threads of this process."""
    with threads(2) as cluster, cluster.get_client() as found:
        yield found


@pytest.fixture(scope="module")
def blobs():
    return six_blobs()


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return write_stack(tmp_path_factory.mktemp("stack"))


@pytest.fixture
def particles(star):
    return read_particles(star)


def assert_same(here, there):
    """Equal up to the rounding of sums in another order, particle by particle."""
    assert [i.number for i in here] == [i.number for i in there]
    for one, other in zip(here, there, strict=True):
        assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-6)
        for part in ("maps", "sigma2", "tau2", "class_weights", "scales"):
            a, b = getattr(one.model, part), getattr(other.model, part)
            np.testing.assert_allclose(b, a, atol=1.5e-5 * np.abs(a).max(initial=0), err_msg=part)
        found, again = one.posterior, other.posterior
        np.testing.assert_allclose(again.log_evidence, found.log_evidence, atol=1e-3)
        np.testing.assert_allclose(again.class_probability, found.class_probability, atol=1e-4)
        for part in ("classes", "angles", "shifts"):
            a, b = (np.reshape(getattr(p, part), (len(p.classes), -1)) for p in (found, again))
            assert np.mean(np.all(np.abs(a - b) < 1e-6, axis=1)) > 0.97, part  # a tie may fall to either side


# Masks, and no frequencies that such starts say nothing of: else a difference by rounding grows tenfold in the third
# iteration, and its bound would have to let mistakes through.
DISC, SPHERE = (soft_sphere(BOX, PIXEL, 100.0, ndim=ndim) for ndim in (2, 3))
JOBS = {
    "classify3d": lambda p, b, **o: classify3d(p, b, 2, SPACE, seed=1, iterations=3, **o),
    "classify3d, adaptive": lambda p, b, **o: classify3d(p, b, 2, SPACE, seed=1, iterations=2, mask=SPHERE,
                                                         adaptive=Adaptive(diameter=100.0), **o),
    "classify3d, maxCC": lambda p, b, **o: refine(p, two_classes(p, b), SPACE, assignment=MAXIMUM_CROSS_CORRELATION,
                                                  iterations=2, **o),
    "classify3d, local, scales": lambda p, b, **o: refine(p, two_classes(p, b), around(p), iterations=3, scale=True,
                                                          mask=SPHERE, **o),
    "classify3d, folds": lambda p, b, **o: classify3d_in_folds(p, b, 2, SPACE, seed=1, folds=2, iterations=2, **o),
    "classify2d": lambda p, b, **o: classify2d(p, 3, search_2d(20, shift_range=PIXEL, shift_step=PIXEL), seed=1,
                                               iterations=3, scale=True, tau2_fudge=2.0, radii=[6], mask=DISC, **o),
    "classify2d, real space": lambda p, b, **o: classify2d(
        replace(p, ctf=None), 2, search_2d(20, shift_range=PIXEL, shift_step=PIXEL), seed=1, iterations=2,
        space="real", **o),
    "classify3d, folds, adaptive": lambda p, b, **o: classify3d_in_folds(
        p, b, 2, SPACE, seed=1, folds=2, iterations=2, adaptive=Adaptive(diameter=100.0), **o),
    # without CTFs: near the origin they are a tenth, so that a class's mean density would be known to few digits
    "classify3d, folds, local": lambda p, b, **o: cross_fit(replace(p, ctf=None), two_classes(p, b), around(p), seed=1,
                                                            folds=3, iterations=2, mask=SPHERE, **o),
    "gold standard": lambda p, b, **o: gold_standard(p, b, SPACE, seed=3, initial_resolution=40, diameter=100,
                                                     iterations=3, symmetry="C2", **o),
    "gold standard, to its end": lambda p, b, **o: gold_standard(
        p, b, SPACE, seed=3, initial_resolution=40, diameter=100, iterations=5,
        sampling=Sampling(finest=3, local_from=2, reach=1, patience=1), **o),
}


def around(particles):
    """A local search around poses that are known."""
    return local_search(particles.angles, np.zeros((len(particles), 2)), angular_range=10.0, angular_step=5.0,
                        shift_range=PIXEL, shift_step=PIXEL)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_cluster_finds_what_one_process_finds(job, client, particles, blobs):
    """Dense, adaptive, local, in parts, with scales: a block that is lost, counted twice, or put in another's place."""
    assert_same(list(job(particles, blobs, **HERE)), list(job(particles, blobs, cluster=client, **HERE)))


def test_the_longest_of_these_runs_reaches_every_phase(particles, blobs):
    """Else a phase that it stops before would not be compared."""
    *_, end = JOBS["gold standard, to its end"](particles, blobs, **HERE)
    assert end.state["finished"] and set(end.state["halvings"]) == {1, 2}  # the local searches begin at 2


def test_how_many_workers_there_are_does_not_matter(client, particles, blobs):
    """Else a run that a queue gives two machines today and nine tomorrow could not be repeated."""
    def once(where):
        (found,) = refine(particles, two_classes(particles, blobs), SPACE, iterations=1, cluster=where, **HERE)
        return found

    with threads(1) as cluster:
        alone, together = once(cluster), once(client)
    np.testing.assert_array_equal(alone.model.maps, together.model.maps)
    for part in fields(alone.posterior):
        np.testing.assert_array_equal(getattr(alone.posterior, part.name), getattr(together.posterior, part.name))


def test_images_are_read_where_they_are_looked_at(client, particles, blobs, monkeypatch):
    """A terabyte of images through one process would be slower than that process alone."""
    readers, read = set(), ImageStack.__getitem__
    monkeypatch.setattr(ImageStack, "__getitem__",
                        lambda self, rows: (readers.add(threading.current_thread()), read(self, rows))[1])
    model = two_classes(particles, blobs)
    readers.clear()
    list(refine(particles, model, SPACE, iterations=2, cluster=client, **HERE))
    assert readers and threading.main_thread() not in readers


def test_what_travels_is_metadata_and_the_model(client, particles, blobs, monkeypatch):
    """What grows with the images has no place on the network, and metadata go there once."""
    sent, submit = [], client.submit

    def counting(function, *arguments, **options):
        sent.append(sum(len(pickle.dumps(a)) for a in arguments if not isinstance(a, distributed.Future | list)
                        and getattr(a, "name", "") != "ML"))
        return submit(function, *arguments, **options)

    monkeypatch.setattr(client, "submit", counting)
    model = two_classes(particles, blobs)
    each = []
    for _ in refine(particles, model, SPACE, iterations=3, cluster=client, **HERE):
        each.append(sum(sent))
        sent.clear()
    first, second, third = each
    assert second == pytest.approx(third, rel=0.01)
    assert model.maps.nbytes < second < model.maps.nbytes + 15_000
    assert 100 * COUNT < first - second < 150 * COUNT + 4 * 3_000  # bytes of a particle, and of a block
    assert first < 0.75 * COUNT * BOX**2 * 4


def test_neither_other_files_nor_other_particles_travel_with_a_block(star, particles, tmp_path, monkeypatch):
    """A data set has a stack for each of ten thousand micrographs; all of their names in each block are gigabytes."""
    monkeypatch.chdir(star.parent)
    (star.parent / "copy.mrcs").write_bytes(star.with_suffix(".mrcs").read_bytes())
    both = ImageStack.open("particles.mrcs", "copy.mrcs")
    twice = replace(particles, images=both, optics_group=np.arange(2 * COUNT) % 2, ctf=None, angles=None, shifts=None,
                    extra={})
    rows = np.array([COUNT + 7, COUNT + 2, COUNT + 4])
    for images in (both, resample(twice, 8.0).images):
        packed, wanted = pickle.dumps(images.take(rows)), images[rows]
        assert len(packed) < 3_000 and b"copy.mrcs" in packed and b"particles.mrcs" not in packed
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)  # a worker works elsewhere
            np.testing.assert_array_equal(pickle.loads(packed)[:], wanted)


def test_progress_counts_blocks_to_the_end(client, particles, blobs):
    shares = []
    next(gold_standard(particles, blobs, SPACE, seed=3, initial_resolution=40, cluster=client, tick=shares.append,
                       **HERE))
    assert len(shares) == 8 and np.allclose(shares, np.arange(1, 9) / 8)  # two halves of four blocks


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)], ids=["to a cluster", "off a cluster"])
def test_a_run_goes_on_with_and_without_a_cluster(first, second, client, star, tmp_path, monkeypatch):
    """Begun on a laptop, continued where there are more machines; or the other way round."""
    monkeypatch.setattr("cryoedu.runs.report.write_report", lambda folder: folder)
    job = ["classify3d", star, "--k", 2, "--reference", star.with_name("map.mrc"), "--healpix-order", 0,
           "--offset-range", 6, "--strict-highres", 16, "--array-library", "numpy"]
    where = ["--cluster", client.scheduler.address]
    assert cryoedu(*job, "--iter", 4, "--o", tmp_path / "whole") == ""
    ended = RuntimeError("as if it was stopped")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        from cryoedu.runs import output

        write = output.write_iteration
        patch.setattr(output, "write_iteration", lambda iteration, *a, **k: write(iteration, *a, **k)
                      if iteration.number < 3 else (_ for _ in ()).throw(ended))
        cryoedu(*job, "--iter", 4, "--o", tmp_path / "parts", *(where if first else []))
    assert read_checkpoint(tmp_path / "parts" / "run_checkpoint.npz").number == 2
    assert cryoedu(*job, "--iter", 4, "--o", tmp_path / "parts", "--resume", *(where if second else [])) == ""
    one, other = (read_checkpoint(tmp_path / name / "run_checkpoint.npz") for name in ("whole", "parts"))
    assert one.number == other.number == 4
    np.testing.assert_allclose(other.model.maps, one.model.maps, atol=2e-4 * np.abs(one.model.maps).max())
    assert np.mean(one.arrays["classes"] == other.arrays["classes"]) > 0.97


def test_a_lonely_particle_and_one_optics_group_that_a_block_has_nobody_of(client, particles, blobs):
    """Blocks are cut without regard to groups; one may hold no particle of some of them."""
    few = particles.subset_of(np.array([0, 1, 2, 4, 9]))  # the second group is in the last blocks alone
    model = start_model(few, blobs[None])
    here, there = (list(refine(few, model, SPACE, iterations=2, cluster=c, **HERE)) for c in (None, client))
    assert_same(here, there)
    assert clusters.cut(1)[0].tolist() == [0] and len(clusters.cut(3)) == 3


@pytest.mark.parametrize("count", [4, 90, 2_000, 100_000, 3_000_000])
def test_blocks_hold_every_particle_once(count):
    blocks = clusters.cut(count)
    np.testing.assert_array_equal(np.concatenate(blocks), np.arange(count))
    sizes = [len(block) for block in blocks]
    assert 4 <= len(blocks) <= 512 and max(sizes) - min(sizes) <= 1


def test_what_goes_wrong_on_a_worker_is_said_with_its_place(client, star, blobs, tmp_path):
    """A file that only the submitting machine sees is the first thing that goes wrong on any cluster."""
    import shutil

    for file in star.parent.glob("particles.*"):
        shutil.copy(file, tmp_path)
    gone = read_particles(tmp_path / "particles.star")
    model = two_classes(gone, blobs)
    (tmp_path / "particles.mrcs").unlink()
    with pytest.raises(InputError, match=r"there is no file .*particles\.mrcs.*among particles \d+ to \d+, on the worke"
                                         r"r at \S+, which has to see the same files"):
        list(refine(gone, model, SPACE, iterations=1, cluster=client, **HERE))
    images = read_particles(star).images[:]
    images[70, 3, 3] = np.nan
    bad = replace(read_particles(star), images=images)
    with pytest.raises(InputError, match=r"NaN or infinite values.*among particles 69 to 90"):
        list(refine(bad, model, SPACE, iterations=1, cluster=client, **HERE))
    assert list(refine(read_particles(star), model, SPACE, iterations=1, cluster=client, **HERE))  # it still works


@pytest.mark.parametrize(("asked", "words"), [
    (0, "a cluster of 0 workers does nothing"), ("0", "a cluster of 0 workers"),
    ("tcp://127.0.0.1:9", "no scheduler of Dask answers at 'tcp://127.0.0.1:9': give the address"),
    ("nowhere at all", "no scheduler of Dask answers at 'nowhere at all'"), ("ftp://a:1", "no scheduler of Dask")])
def test_a_cluster_that_is_none_is_refused_before_anything_starts(asked, words, particles, blobs, monkeypatch):
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(InputError, match=words):
        refine(particles, two_classes(particles, blobs), SPACE, cluster=asked)


def test_without_dask_the_way_out_is_named(particles, blobs, monkeypatch, star, tmp_path):
    """It is an optional extra: most people have never heard of it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = cryoedu("classify2d", star, "--k", 2, "--o", tmp_path, "--cluster", "2")
    assert "a cluster needs the package distributed, which is not installed here: run 'python -m pip install" in said


def test_a_wrong_memory_is_refused_at_once(client, particles, blobs):
    with pytest.raises(InputError, match="not a size"):
        refine(particles, two_classes(particles, blobs), SPACE, cluster=client, memory="plenty")


def test_blocks_of_one_worker_share_its_memory(monkeypatch):
    """A worker with three threads is at three blocks at a time."""
    worker = SimpleNamespace(memory_manager=SimpleNamespace(memory_limit=180_000_000),
                             state=SimpleNamespace(nthreads=3))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    assert clusters._means.__wrapped__(None, "numpy")[1] == 20_000_000
    assert clusters._means.__wrapped__("50 MB", "numpy")[1] == 50_000_000


def test_workers_share_what_a_machine_has(client):
    """Several workers with a thread for each core each would wait for each other; half of memory each would swap."""
    def inside(_):
        from numba import get_num_threads
        from threadpoolctl import threadpool_info

        from cryoedu.threads import in_threads, one_thread
        with one_thread():
            mine = set(in_threads(lambda i: threading.get_ident(), range(3), np))
            return (get_num_threads(), {lib["num_threads"] for lib in threadpool_info()}, len(mine),
                    clusters._means.__wrapped__(None, "numpy")[1], clusters._means.__wrapped__("50 MB", "numpy")[1],
                    distributed.get_worker().memory_manager.memory_limit)

    numba, libraries, threads, budget, asked, limit = client.submit(inside, 0).result()
    assert (numba, libraries, threads, asked) == (1, {1}, 1, 50_000_000)
    assert 0 < budget <= limit // 3
