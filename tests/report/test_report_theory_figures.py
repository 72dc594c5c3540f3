"""What a figure of the theory rooms draws is what its result says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from neurosparse import report
from neurosparse.errors import InputError
from neurosparse.meanfield import gaussian_product_distribution
from neurosparse.report.figure_phase import cell_edges
from neurosparse.report.paper import COLUMN
from neurosparse.report.theme import light

Array = NDArray[np.float64]


def line(axes: Axes, gid: str) -> Line2D:
    (found,) = [one for one in axes.get_lines() if one.get_gid() == gid]
    return found


def bars(axes: Axes, gid: str) -> tuple[Array, Array, Array]:
    """x, y and error of the points drawn under ``gid``."""
    (found,) = [one for one in axes.containers if isinstance(one, ErrorbarContainer)
                and one[0] is not None and one[0].get_gid() == gid]
    marks, _, stems = found
    assert marks is not None
    segments = stems[0].get_segments() if stems else []
    half = np.array([np.ptp(segment[:, 1]) / 2 for segment in segments])
    return np.asarray(marks.get_xdata()), np.asarray(marks.get_ydata()), half


def prints(figure: Figure, tmp_path: Any) -> None:
    """The figure has a column's width and can be written."""
    assert figure.get_figwidth() == COLUMN
    figure.savefig(tmp_path / "f.pdf")
    assert (tmp_path / "f.pdf").stat().st_size > 1000


class Run:
    """A spectrum with a record of its estimates."""

    def __init__(self, k: int, size: int, samples: int = 40) -> None:
        rng = np.random.default_rng(k)
        self.exponents = -np.sort(rng.uniform(-0.3, 2, k))
        self.exponents[0] = 0.25
        self.stderr = rng.uniform(0.01, 0.05, k)
        self.size = size
        self.times = 2.5 * np.arange(1, samples + 1)
        self.estimates = self.exponents + rng.normal(size=(samples, k)) / self.times[:, None]
        self.estimates[-1] = self.exponents

    def running(self) -> tuple[Array, Array]:
        return self.times, self.estimates


@pytest.mark.parametrize(("k", "size", "unit"), [(12, 100, 100), (3, 3, 1), (60, 60, 60)])
def test_exponents_with_their_errors(tmp_path: Any, k: int, size: int, unit: int) -> None:
    run = Run(k, size)
    figure = report.spectrum(run)
    x, y, half = bars(figure.axes[0], "exponents")
    assert np.allclose(x, np.arange(1, k + 1) / unit)
    assert np.array_equal(y, run.exponents) and np.allclose(half, run.stderr, rtol=1e-9)
    assert figure.axes[0].get_xlabel() == ("i" if unit == 1 else "i / N")
    assert "λ₁ = 0.25" in figure.axes[0].get_title(loc="left")
    if size == 100:
        prints(figure, tmp_path)


def test_many_exponents_are_a_line_with_a_band() -> None:
    run = Run(200, 400)
    axes = report.spectrum(run).axes[0]
    drawn = line(axes, "exponents")
    assert np.array_equal(drawn.get_ydata(), run.exponents)
    assert np.allclose(drawn.get_xdata(), np.arange(1, 201) / 400)
    band = np.concatenate([p.vertices for c in axes.collections for p in c.get_paths()])
    assert np.isclose(band[:, 1].max(), (run.exponents + run.stderr).max())


def test_running_estimates_are_told_from_the_final_ones() -> None:
    run = Run(20, 20)
    axes = report.spectrum(run, running=[0, 7, 19]).axes[1]
    for number in (0, 7, 19):
        drawn = line(axes, f"running {number}")
        assert np.array_equal(drawn.get_xdata(), run.times)
        assert np.allclose(drawn.get_ydata(), run.estimates[:, number] - run.exponents[number])
        assert bars(axes, f"stderr {number}")[2] == pytest.approx(run.stderr[number])
    legend = axes.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == ["i = 1", "i = 8", "i = 20"]


def test_theory_is_laid_over_by_its_distribution(tmp_path: Any) -> None:
    run = Run(50, 100)
    s = np.linspace(-3, 0, 31)
    figure = report.spectrum(run, theory=(s, gaussian_product_distribution(s)), running=False)
    (axes,) = figure.axes
    drawn = line(axes, "theory")
    assert np.array_equal(drawn.get_ydata(), s)
    assert np.allclose(drawn.get_xdata(), 1 - np.exp(2 * s))
    prints(figure, tmp_path)


def test_a_density_ends_at_its_edge_and_has_a_band() -> None:
    s = np.linspace(-2, 0.5, 26)
    theory = SimpleNamespace(thresholds=s, cumulative=np.minimum((s + 3) / 3.2, 1.0),
                             stderr=np.where(s < 0, 0.01, np.nan), upper_edge=0.2)
    (axes,) = report.spectrum(Run(20, 40), theory=theory, running=False).axes
    drawn = line(axes, "theory")
    inside = s < 0.2
    assert np.array_equal(drawn.get_ydata(), [*s[inside], 0.2])
    assert np.allclose(drawn.get_xdata(), [*(1 - theory.cumulative[inside]), 0.0])
    (band,) = [c for c in axes.collections if c.get_gid() == "theory band"]
    at_start = band.get_paths()[0].vertices
    assert np.isclose(at_start[:, 0].max(), 1 - 1 / 3.2 + 0.01)


def test_collapsed_directions_are_counted_not_drawn() -> None:
    run = Run(5, 12)
    run.exponents[-2:] = -np.inf
    figure = report.spectrum(run)
    assert "2 not finite" in figure.axes[0].get_title(loc="left")
    assert np.array_equal(bars(figure.axes[0], "exponents")[1], run.exponents[:3])
    assert all(np.isfinite(axes.get_ylim()).all() for axes in figure.axes)


def test_real_spectra_and_ensembles_draw() -> None:
    from neurosparse.lyapunov import MatrixSequence, spectrum

    matrices = np.random.default_rng(1).normal(size=(7, 12, 12)) / np.sqrt(12)
    found = spectrum(MatrixSequence(lambda n: matrices[n % 7], 12), k=4, duration=200)
    figure = report.spectrum(found)
    x, y, _ = bars(figure.axes[0], "exponents")
    assert np.allclose(x, np.arange(1, 5) / 12) and np.array_equal(y, found.exponents)
    ensemble = SimpleNamespace(exponents=found.exponents, stderr=found.stderr)
    (axes,) = report.spectrum(ensemble, size=12).axes
    assert np.allclose(bars(axes, "exponents")[0], x)


def trajectory(start: float, seed: int, gamma: float, records: int = 30, size: int = 10
               ) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    return SimpleNamespace(times=start + 0.5 * np.arange(records),
                           states=rng.normal(size=(records, size)),
                           energy=size * rng.uniform(1e-4, 1, records), settings={"gamma": gamma})


def test_runs_follow_each_other_and_phases_are_marked(tmp_path: Any) -> None:
    runs = [trajectory(0, 1, 0.0), trajectory(0, 2, 1.0), trajectory(0, 3, 0.0)]
    figure = report.trajectory(*runs, neurons=[0, 4, 9])
    top, bottom = figure.axes
    clock = np.concatenate([r.times + 14.5 * i for i, r in enumerate(runs)])
    for number in (0, 4, 9):
        drawn = line(top, f"neuron {number}")
        assert np.allclose(drawn.get_xdata(), clock)
        assert np.array_equal(drawn.get_ydata(), np.concatenate([r.states[:, number]
                                                                 for r in runs]))
    energy = line(bottom, "energy")
    assert np.allclose(energy.get_ydata(), np.concatenate([r.energy for r in runs]) / 10)
    assert bottom.get_yscale() == "log"
    assert [t.get_text() for t in top.texts] == ["γ = 0", "γ = 1", "γ = 0"]
    starts = [line(bottom, f"start {n}").get_xdata()[0] for n in (1, 2)]  # type: ignore[index]
    assert starts == [14.5, 29.0]
    prints(figure, tmp_path)


def test_a_run_that_goes_on_by_its_own_clock_is_not_shifted() -> None:
    runs = [trajectory(0, 1, 0.0), trajectory(15.0, 2, 1.0)]
    times = line(report.trajectory(*runs, labels=["free", "held"]).axes[1], "energy").get_xdata()
    assert np.array_equal(times, np.concatenate([r.times for r in runs]))


def test_long_runs_are_thinned_and_read_from_a_file(tmp_path: Any) -> None:
    import h5py

    run = trajectory(0, 1, 0.0, records=50_001, size=3)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        stored = SimpleNamespace(**{**vars(run), "states": file.create_dataset(
            "states", data=run.states)})
        figure = report.trajectory(stored, phases=[(0.0, "a"), (1e4, "b")])
    drawn = line(figure.axes[0], "neuron 2")
    assert 1000 < len(drawn.get_xdata()) <= 2001
    places = np.searchsorted(run.times, drawn.get_xdata())
    assert np.array_equal(drawn.get_ydata(), run.states[places, 2])
    assert drawn.get_xdata()[-1] == run.times[-1]  # type: ignore[index]
    assert [t.get_text() for t in figure.axes[0].texts] == ["a", "b"]


def test_a_run_without_energy_has_one_panel() -> None:
    run = trajectory(0, 1, 0.0)
    run.energy = np.empty(0)
    assert len(report.trajectory(run).axes) == 1


def test_a_real_trajectory_draws() -> None:
    from neurosparse.dynamics import Flow, gaussian_couplings, simulate

    run = simulate(Flow(gaussian_couplings(8, 1.5, seed=1)), duration=2.0, dt=0.1)
    drawn = line(report.trajectory(run, neurons=2).axes[0], "neuron 7")
    assert np.array_equal(drawn.get_ydata(), np.asarray(run.states)[:, 7])


class Diagram:
    """A phase diagram with a point that diverged."""

    def __init__(self) -> None:
        self.gain = np.array([0.5, 1.0, 2.0, 4.0])
        self.gamma = np.array([1.0, 0.0, 0.5])
        self.exponent = np.linspace(-0.4, 0.8, 12).reshape(4, 3)
        self.exponent[3, 2] = np.nan
        self.stderr = np.full((4, 3), 0.03)
        self.words = np.array([["null"] * 3, ["frozen"] * 3, ["chaos", "finite-time", "moving"],
                               ["chaos", "chaos", "diverged"]])

    def regimes(self) -> NDArray[np.str_]:
        return self.words


def mesh(axes: Axes) -> QuadMesh:
    (found,) = [one for one in axes.collections if isinstance(one, QuadMesh)]
    return found


def test_phase_diagram_by_exponent_and_regime(tmp_path: Any) -> None:
    diagram = Diagram()
    figure = report.phase(diagram)
    top, bottom = figure.axes[:2]
    order = [1, 2, 0]
    drawn = np.ma.asarray(mesh(top).get_array()).reshape(3, 4)
    expected = diagram.exponent[:, order].T
    assert np.ma.allequal(drawn, np.ma.masked_invalid(expected))
    assert np.array_equal(np.ma.getmaskarray(drawn), np.isnan(expected))
    corners = mesh(top).get_coordinates()
    assert np.allclose(corners[0, :, 0], cell_edges(diagram.gain))
    assert np.allclose(corners[:, 0, 1], [-0.25, 0.25, 0.75, 1.25])
    dots = line(top, "zero")
    unsure = np.abs(diagram.exponent) <= 0.06
    assert len(dots.get_xdata()) == unsure.sum() > 0
    assert set(dots.get_xdata()) == set(diagram.gain[np.where(unsure)[0]])  # type: ignore[arg-type]
    # Every cell has the colour of its word in the key.
    figure.draw_without_rendering()
    cells = mesh(bottom).get_facecolors().reshape(3, 4, 4)
    legend = bottom.get_legend()
    assert legend is not None
    colours = {text.get_text(): to_hex(patch.get_facecolor()) for text, patch in  # type: ignore[attr-defined]
               zip(legend.get_texts(), legend.get_patches(), strict=True)}
    assert set(colours) == set(diagram.words.ravel()) and len(set(colours.values())) == 6
    for (i, j), word in np.ndenumerate(diagram.words[:, order]):
        assert to_hex(cells[j, i]) == colours[word]
    prints(figure, tmp_path)


def test_zero_has_no_colour_and_signs_have_different_ones() -> None:
    drawn = mesh(report.phase(Diagram(), regimes=False).axes[0])
    low, none, high = (drawn.cmap(drawn.norm(v)) for v in (-0.3, 0.0, 0.3))
    assert np.ptp(none[:3]) < 0.02
    assert low[2] > low[0] + 0.3 and high[0] > high[2] + 0.3


def test_one_line_of_a_phase_diagram_is_a_curve(tmp_path: Any) -> None:
    full = Diagram()
    one = SimpleNamespace(gain=full.gain, gamma=[0.0], exponent=full.exponent[:, 1:2],
                          stderr=full.stderr[:, 1:2])
    figure = report.phase(one, regimes=full.words[:, 1:2])
    (axes,) = figure.axes
    assert np.array_equal(line(axes, "exponent").get_ydata(), full.exponent[:, 1])
    x, y, half = bars(axes, "points chaos")
    assert x == [4.0] and y == full.exponent[3, 1] and half == pytest.approx(0.03)
    assert "γ = 0" in axes.get_title(loc="left")
    prints(figure, tmp_path)
    across = SimpleNamespace(gain=[2.0], gamma=full.gamma, exponent=full.exponent[2:3],
                             stderr=full.stderr[2:3])
    assert np.array_equal(line(report.phase(across).axes[0], "exponent").get_xdata(), [0, 0.5, 1])


def stationary() -> SimpleNamespace:
    lags = np.linspace(0, 10, 101)
    return SimpleNamespace(lags=lags, autocovariance=1 / np.cosh(lags / 3) ** 2,
                           gain_autocovariance=0.4 * np.exp(-lags**2 / 8))


def test_autocovariance_against_simulation(tmp_path: Any) -> None:
    theory = stationary()
    at = np.array([0.0, 0.73, 2.0, 5.55])
    values, error = 1 / np.cosh(at / 3) ** 2 + [0.1, -0.1, 0.2, 0.0], np.array([0.1, 0.2, 0.3, 0.4])
    figure = report.autocovariance(theory, simulation=(at, values, error))
    top, bottom = figure.axes
    drawn = line(top, "theory")
    inside = theory.lags <= 5.55
    assert np.array_equal(drawn.get_xdata(), theory.lags[inside])
    assert np.array_equal(drawn.get_ydata(), theory.autocovariance[inside])
    x, y, half = bars(top, "simulation")
    assert np.array_equal(x, at) and np.array_equal(y, values) and np.allclose(half, error)
    x, y, half = bars(bottom, "difference")
    assert np.allclose(y, [0.1, -0.1, 0.2, 0.0], atol=1e-6) and np.allclose(half, error)
    prints(figure, tmp_path)


def test_autocovariance_of_the_gain_up_to_a_lag() -> None:
    theory = stationary()
    (axes,) = report.autocovariance(theory, which="phi", longest=4.0).axes
    drawn = line(axes, "theory")
    assert np.array_equal(drawn.get_ydata(), theory.gain_autocovariance[:41])
    assert "φ(x)" in axes.get_title(loc="left")


def two_time(step: float, count: int, shift: float = 0.0, **more: Any) -> SimpleNamespace:
    times = step * np.arange(count)
    t, s = np.meshgrid(times, times, indexing="ij")
    return SimpleNamespace(times=times, covariance=np.exp(-np.abs(t - s)) * (1 + s) + shift,
                           response=np.where(t >= s, np.exp(s - t) / (1 + s), 0.0) + shift, **more)


def test_two_time_cuts_of_theory_and_simulation(tmp_path: Any) -> None:
    theory = two_time(0.05, 81)
    error = np.full((21, 21), 0.07)
    simulation = two_time(0.2, 21, 0.01, covariance_stderr=error)
    figure = report.two_time(theory, simulation=simulation, since=[0.0, 1.0, 3.0], marks=7)
    for axes, kind, matrix, other in zip(
            figure.axes, ("covariance", "response"), (theory.covariance, theory.response),
            (simulation.covariance, simulation.response), strict=True):
        for s in (0.0, 1.0, 3.0):
            start = round(s / 0.05)
            drawn = line(axes, f"theory {kind} {s:g}")
            assert np.allclose(drawn.get_xdata(), theory.times[start:] - s)
            assert np.array_equal(drawn.get_ydata(), matrix[start:, start])
            x, y, half = bars(axes, f"simulation {kind} {s:g}")
            rows = np.arange(round(s / 0.2), 21, 3)
            assert np.allclose(x, simulation.times[rows] - s)
            assert np.array_equal(y, other[rows, round(s / 0.2)])
            assert np.allclose(half, 0.07) if kind == "covariance" else half.size == 0
    prints(figure, tmp_path)


def test_a_sampled_theory_has_a_band_and_a_missing_quantity_no_panel() -> None:
    theory = two_time(0.1, 31, errors={"x": np.full((31, 31), 0.02), "x/h": np.zeros((31, 31))})
    top, bottom = report.two_time(theory, since=[0.0]).axes
    (band,) = top.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert band.get_gid() == "band covariance 0" and heights.max() == pytest.approx(1.02)
    assert not bottom.collections
    theory.response = None
    figure = report.two_time(theory, simulation=two_time(0.1, 31))
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["s = 0", "s = 0.7", "s = 1.5"]
    assert not any(isinstance(c, PathCollection) for c in axes.collections)


def test_figures_touch_no_global_state() -> None:
    before = dict(matplotlib.rcParams)
    report.spectrum(Run(3, 3))
    report.phase(Diagram())
    report.trajectory(trajectory(0, 1, 0.0))
    report.autocovariance(stationary())
    report.two_time(two_time(0.1, 9))
    assert dict(matplotlib.rcParams) == before


def test_series_share_the_theory_s_colours() -> None:
    axes = report.autocovariance(stationary()).axes[0]
    assert line(axes, "theory").get_color() == light("warm")


@pytest.mark.parametrize("call", [
    lambda: report.spectrum(SimpleNamespace(exponents=np.full(3, np.nan), stderr=np.ones(3))),
    lambda: report.spectrum(Run(3, 3), running=[3]),
    lambda: report.spectrum(Run(3, 3), theory=([0.0, 1.0], [0.5])),
    lambda: report.spectrum(Run(3, 3), theory=3),  # type: ignore[arg-type]
    lambda: report.trajectory(),
    lambda: report.trajectory(trajectory(0, 1, 0, size=3), trajectory(0, 1, 0, size=4)),
    lambda: report.trajectory(trajectory(0, 1, 0), neurons=[10]),
    lambda: report.trajectory(trajectory(0, 1, 0), labels=["a", "b"]),
    lambda: report.trajectory(trajectory(0, 1, 0, records=0)),
    lambda: report.phase(SimpleNamespace(gain=[1.0], gamma=[1.0], exponent=np.ones((2, 1)),
                                         stderr=np.ones((2, 1)))),
    lambda: report.phase(SimpleNamespace(gain=[1.0], gamma=[1.0], exponent=np.full((1, 1), np.nan),
                                         stderr=np.ones((1, 1)))),
    lambda: report.phase(Diagram(), regimes=np.full((4, 3), "calm")),
    lambda: report.autocovariance(stationary(), which="y"),  # type: ignore[arg-type]
    lambda: report.autocovariance(stationary(), simulation=([1.0, 2.0], [1.0])),
    lambda: report.autocovariance(stationary(), simulation=([5.0], [1.0]), longest=2.0),
    lambda: report.two_time(two_time(0.1, 5), since=[2.0]),
    lambda: report.two_time(two_time(0.1, 5), since=[]),
    lambda: report.two_time(SimpleNamespace(times=np.arange(3.0), covariance=np.ones((2, 2)),
                                            response=None)),
    lambda: report.two_time(SimpleNamespace(times=np.arange(3.0), covariance=None, response=None)),
])
def test_refusals(call: Any) -> None:
    with pytest.raises(InputError, match="draw"):
        call()
