"""A plot of the times. matplotlib, an extra, is imported only here."""

from collections.abc import Sequence
from pathlib import Path

from carafe_jax.machine import Machine
from experiments.benchmarks.reassembly.config import (
    MODE_TITLES,
    PROVIDER_TITLES,
    Mode,
)
from experiments.benchmarks.reassembly.summary import Summary

_MARKERS = "osD^vP*X"


def write_plot(path: Path, summaries: Sequence[Summary], machine: Machine) -> None:
    """Draw medians and quartiles on a logarithmic axis, a panel for each mode.

    Raises:
      ImportError: matplotlib is missing.
    """
    from matplotlib.figure import Figure

    modes: list[Mode] = [*dict.fromkeys(s.mode for s in summaries)]
    names = list(dict.fromkeys(s.shape.name for s in summaries))
    figure = Figure(figsize=(1 + 5 * len(modes), 2 + 0.45 * len(names)))
    panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
    for panel, mode in zip(panels, modes, strict=True):
        _draw(panel, [s for s in summaries if s.mode == mode], names)
        panel.set_title(MODE_TITLES[mode])
    labels = [_shape_label(name, summaries) for name in names]
    panels[0].set_yticks(range(len(names)), labels)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(modes) + 1,
        fontsize="small",
    )
    figure.suptitle(f"{machine.device}, {machine.cores} cores, JAX {machine.jax}")
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=150)


def _draw(panel, summaries: Sequence[Summary], names: Sequence[str]) -> None:
    providers = list(dict.fromkeys(s.provider for s in summaries))
    for index, provider in enumerate(providers):
        own = [s for s in summaries if s.provider == provider]
        lower, median, upper = zip(*(s.quartiles for s in own), strict=True)
        panel.errorbar(
            median,
            [names.index(s.shape.name) for s in own],
            xerr=[
                [m - low for m, low in zip(median, lower, strict=True)],
                [high - m for m, high in zip(median, upper, strict=True)],
            ],
            fmt=_MARKERS[index % len(_MARKERS)],
            label=_provider_label(provider),
            alpha=0.8,
        )
    panel.set_xscale("log")
    panel.set_xlabel("median time in ms; whiskers: quartiles")
    panel.grid(axis="x", alpha=0.3)


def _shape_label(name: str, summaries: Sequence[Summary]) -> str:
    shape = next(s.shape for s in summaries if s.shape.name == name)
    return f"{name}\n{' x '.join(map(str, shape.features))}, x{shape.scale}"


def _provider_label(provider: str) -> str:
    name, _, implementation = provider.partition(":")
    title = PROVIDER_TITLES[name]
    return f"{title}, {implementation}" if implementation else title
