"""Measure how far off the numbers of `audio.filter` are: noise mixed in at a known ratio, recordings from a known lower rate.

    python -m benchmarks.audio_quality --stamps DIR [--part test] [--clips 60] [--seed 0]

DIR holds the Tux Paint stamps (Debian package `tuxpaint-stamps-default`) and their `manifest.jsonl`. WADA-SNR is measured too, as
the estimator that is used most: C. Kim and R. M. Stern, "Robust signal-to-noise ratio estimation based on waveform amplitude
distribution analysis", Interspeech 2008.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.denoise import EVALUATION_RATE, NOISES, Signal, babble, choose, mix, pink_noise, white_noise
from mmdata.dsp.quality import bandwidth, noise_ratio

RATIOS = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 30.0)  # dB
WADA_SHAPE = 0.4  # of the Gamma distribution that the amplitudes of clean speech are taken to have
WADA_RATIOS = np.arange(-20.0, 101.0)
STORED_RATE = 44_100
LOWER_RATES = (8000, 16000, 22050)
RATES_FOUND = (0.9, 1.05)  # of half the lower rate: what counts as found


@cache
def wada_table(draws: int = 2_000_000) -> NDArray[np.float64]:
    """Return log of mean less mean of log of the amplitudes of speech in noise, at each of `WADA_RATIOS`: by simulation."""
    rng = np.random.default_rng(0)
    speech = rng.gamma(WADA_SHAPE, 1.0, draws) * rng.choice([-1.0, 1.0], draws)
    noise = rng.standard_normal(draws) * np.sqrt(np.square(speech).mean())
    mixtures = (np.abs(speech + noise * 10.0 ** (-ratio / 20.0)) for ratio in WADA_RATIOS)
    return np.array([np.log(mixture.mean()) - np.log(mixture + 1e-300).mean() for mixture in mixtures])


def wada(signal: Signal) -> float:
    """Return the signal-to-noise ratio in dB by WADA."""
    amplitudes = np.maximum(np.abs(signal - signal.mean(dtype=np.float64)), 1e-10)
    return float(
        np.interp(np.log(amplitudes.mean()) - np.log(amplitudes).mean(), np.maximum.accumulate(wada_table()), WADA_RATIOS)
    )


def quiet_frames(signal: Signal) -> float:
    """Return the measure `snr` of `audio.filter`."""
    return noise_ratio(signal[None], EVALUATION_RATE)


def errors(
    clean: Sequence[Signal], voices: Sequence[Signal], ratio: float, rng: np.random.Generator
) -> dict[tuple[str, str], list[float]]:
    """Return the errors in dB of each estimator on every recording, by estimator and noise."""
    estimators: dict[str, Callable[[Signal], float]] = {"audio.filter": quiet_frames, "WADA": wada}
    found: dict[tuple[str, str], list[float]] = {}
    for signal in clean:
        noises = (white_noise(len(signal), rng), pink_noise(len(signal), rng), babble(len(signal), voices, rng))
        for name, noise in zip(NOISES, noises, strict=True):
            _, noisy = mix(signal, noise, ratio)
            for estimator, estimate in estimators.items():
                found.setdefault((estimator, name), []).append(estimate(noisy) - ratio)
    return found


def ratio_table(clean: Sequence[Signal], voices: Sequence[Signal], seed: int) -> Table:
    """Lay out mean and deviation of the errors: a row a ratio, a column an estimator and noise."""
    rows = {ratio: errors(clean, voices, ratio, np.random.default_rng(seed)) for ratio in RATIOS}
    columns = list(next(iter(rows.values())))
    table = Table("mixed at", *(f"{estimator}, {noise}" for estimator, noise in columns), title="error in dB: mean, deviation")
    for ratio, found in rows.items():
        table.add_row(f"{ratio:g} dB", *(f"{np.mean(found[column]):+.1f}, {np.std(found[column]):.1f}" for column in columns))
    return table


def bandwidth_table(recordings: Sequence[Signal]) -> Table:
    """Lay out how often the band of a recording from a lower rate is found after 16 bits at 44.1 kHz: a row a rate."""
    table = Table("from", "bandwidth, median", "found", title=f"recordings at {STORED_RATE} Hz")
    for rate in (STORED_RATE, *LOWER_RATES):
        bands = []
        for signal in recordings:
            lowered = soxr.resample(soxr.resample(signal, STORED_RATE, rate), rate, STORED_RATE)
            stored = np.rint(lowered * 32768.0) / 32768.0
            bands.append(bandwidth(stored[None].astype(np.float32), STORED_RATE))
        low, high = (share * rate / 2 for share in RATES_FOUND)
        table.add_row(f"{rate} Hz", f"{np.median(bands):.0f} Hz", f"{np.mean([low <= band <= high for band in bands]):.0%}")
    return table


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, required=True, help="folder of the corpus, with manifest.jsonl")
    parser.add_argument("--part", choices=("dev", "test", "all"), default="test")
    parser.add_argument("--clips", type=int, default=60, help="clean recordings to use")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print its tables."""
    options = arguments()
    clean, voices = choose(options.stamps, options.part, options.clips, EVALUATION_RATE, options.seed)
    Console(width=150).print(ratio_table(clean, voices, options.seed))
    full, _ = choose(options.stamps, options.part, options.clips, STORED_RATE, options.seed)
    Console(width=150).print(bandwidth_table(full))


if __name__ == "__main__":
    main()
