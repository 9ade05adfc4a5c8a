"""Measure the denoisers on recorded speech mixed with noise, and on the clean speech itself, where they can only do harm.

    python -m benchmarks.denoise --stamps DIR [--part test] [--clips 60] [--seed 0] [--rate 16000] [--jobs 1] [--json FILE]

DIR holds the Tux Paint stamps (Debian package `tuxpaint-stamps-default`) and their `manifest.jsonl`. Recordings are split by
stamp: the settings of the spectral gate were chosen on `dev`; the numbers to quote are those of `test`.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mmdata.errors import MissingExtraError
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.denoise import Denoise
from mmdata.values import Audio

Signal = NDArray[np.float32]  # [samples]
Method = Callable[[Signal, int], Signal]

EVALUATION_RATE = 16_000  # Hz, of PESQ wideband
MIX_SNR_DB = 5.0
CLEAN_RANGE_DB = 35.0  # between loud and quiet frames: what counts as a clean recording
BABBLE_SPEAKERS = 6
BABBLE_POOL = 60
SECONDS = (2.0, 10.0)
NOISES = ("white", "pink", "babble")
PEAK = 0.99


@dataclass(frozen=True)
class Score:
    """One method on one mixture."""

    method: str
    condition: str  # white, pink, babble, or clean: nothing added
    pesq: float  # wideband, 1.04 to 4.64
    si_sdr: float  # dB
    speed: float  # seconds of sound a second


def si_sdr(reference: Signal, estimate: Signal) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB, at most 100 (J. Le Roux et al., ICASSP 2019)."""
    reference64, estimate64 = (signal.astype(np.float64) - signal.mean(dtype=np.float64) for signal in (reference, estimate))
    target = reference64 * (reference64 @ estimate64) / max(float(reference64 @ reference64), 1e-20)
    distortion = float(np.square(estimate64 - target).sum())
    return float(10.0 * np.log10(max(float(target @ target), 1e-20) / max(distortion, 1e-10 * float(target @ target), 1e-20)))


def white_noise(length: int, rng: np.random.Generator) -> Signal:
    """Return Gaussian noise of equal power at all frequencies, [length]."""
    return np.asarray(rng.standard_normal(length), dtype=np.float32)


def pink_noise(length: int, rng: np.random.Generator) -> Signal:
    """Return Gaussian noise whose power falls by 3 dB an octave, [length], without offset."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum[0] = 0.0
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return np.asarray(np.fft.irfft(spectrum, length), dtype=np.float32)


def babble(length: int, voices: Sequence[Signal], rng: np.random.Generator) -> Signal:
    """Return `BABBLE_SPEAKERS` of the recordings at once, each equally loud and repeated as needed, [length]."""
    total = np.zeros(length, dtype=np.float32)
    for chosen in rng.choice(len(voices), BABBLE_SPEAKERS, replace=False):
        voice = np.resize(np.roll(voices[chosen], int(rng.integers(len(voices[chosen])))), length)
        total += voice / np.sqrt(np.square(voice).mean() + 1e-12)
    return total


def mix(clean: Signal, noise: Signal, snr_db: float) -> tuple[Signal, Signal]:
    """Return clean and clean plus noise at this ratio of mean powers, both scaled alike so that neither clips."""
    gain = np.sqrt(np.square(clean).mean() / np.square(noise).mean()) * 10.0 ** (-snr_db / 20.0)
    noisy = clean + np.float32(gain) * noise
    scale = np.float32(min(1.0, PEAK / float(np.abs(noisy).max())))
    return clean * scale, noisy * scale


def level_range(signal: Signal, rate: int) -> float:
    """Return how far loud frames (90th percentile of 20 ms frames) stand above quiet ones (5th), in dB."""
    width = rate // 50
    frames = signal[: len(signal) // width * width].reshape(-1, width)
    levels = 10.0 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    return float(np.percentile(levels, 90) - np.percentile(levels, 5))


def recordings(stamps: Path, part: str, rate: int, rng: np.random.Generator) -> Iterator[Signal]:
    """Yield the recordings of `part` in random order, mono at `rate`, between 2 and 10 seconds long."""
    with (stamps / "manifest.jsonl").open(encoding="utf-8") as manifest:
        rows = [json.loads(line) for line in manifest]
    for position in rng.permutation(len(rows)):
        row = rows[position]
        # By stamp, so that no sentence is in both parts.
        if part != "all" and ("dev", "test")[zlib.crc32(row["stamp"].encode()) % 2] != part:
            continue
        try:
            samples, own_rate = sf.read(stamps / row["audio"], dtype="float32", always_2d=True)
        except sf.LibsndfileError:
            continue
        if SECONDS[0] <= len(samples) / own_rate <= SECONDS[1]:
            yield np.asarray(soxr.resample(samples.mean(axis=1), own_rate, rate), dtype=np.float32)


def choose(stamps: Path, part: str, clips: int, rate: int, seed: int) -> tuple[list[Signal], list[Signal]]:
    """Return `clips` clean recordings, and others for babble."""
    clean: list[Signal] = []
    voices: list[Signal] = []
    for signal in recordings(stamps, part, rate, np.random.default_rng(seed)):
        if len(clean) < clips and level_range(signal, rate) >= CLEAN_RANGE_DB:
            clean.append(signal)
        elif len(voices) < BABBLE_POOL:
            voices.append(signal)
        if len(clean) == clips and len(voices) == BABBLE_POOL:
            break
    return clean, voices


def stage(signal: Signal, rate: int, *, denoiser: Denoise) -> Signal:
    """Apply the stage `audio.denoise`, as a build does. Raises MissingExtraError where its method is not installed."""
    denoiser.infer(Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None), rate=rate)}))
    denoised: Signal = denoiser.apply(Audio(signal[None].copy(), rate), rng_for(0)).samples[0]
    return denoised


def noisereduce(signal: Signal, rate: int, *, stationary: bool) -> Signal:
    """Apply the package noisereduce with its defaults."""
    from noisereduce import reduce_noise

    return np.asarray(reduce_noise(signal, rate, stationary=stationary), dtype=np.float32)


def methods() -> dict[str, Method]:
    """Return the methods that are installed, by name."""
    every: dict[str, Method] = {
        "noisy input": lambda signal, _: signal,
        "spectral gate (default)": partial(stage, denoiser=Denoise()),
        "noisereduce, stationary": partial(noisereduce, stationary=True),
        "noisereduce, non-stationary": partial(noisereduce, stationary=False),
        "RNNoise": partial(stage, denoiser=Denoise(method="rnnoise")),
        "DeepFilterNet3": partial(stage, denoiser=Denoise(method="deepfilternet")),
    }
    return {name: method for name, method in every.items() if _installed(method)}


def _installed(method: Method) -> bool:
    """Try the method on a second of noise."""
    try:
        method(white_noise(EVALUATION_RATE, np.random.default_rng(0)), EVALUATION_RATE)
    except (MissingExtraError, ImportError):
        return False
    return True


def measure(method: str, condition: str, clean: Signal, noisy: Signal, rate: int) -> Score:
    """Denoise `noisy` at `rate` and compare it with `clean` at 16 kHz."""
    from pesq import pesq

    begin = time.perf_counter()
    denoised = methods_here()[method](noisy, rate)
    speed = len(noisy) / rate / (time.perf_counter() - begin)
    reference, estimate = (
        signal if rate == EVALUATION_RATE else soxr.resample(signal, rate, EVALUATION_RATE).astype(np.float32)
        for signal in (clean, denoised)
    )
    return Score(method, condition, float(pesq(EVALUATION_RATE, reference, estimate, "wb")), si_sdr(reference, estimate), speed)


_methods: dict[str, Method] = {}


def methods_here() -> dict[str, Method]:
    """Return `methods()`, found once a process."""
    if not _methods:
        _methods.update(methods())
    return _methods


def measure_clip(number: int, clean: Signal, voices: Sequence[Signal], rate: int, seed: int) -> list[Score]:
    """Measure every method on one recording: clean, and with each noise."""
    rng = np.random.default_rng([seed, number])
    noises = (white_noise(len(clean), rng), pink_noise(len(clean), rng), babble(len(clean), voices, rng))
    pairs = [(name, *mix(clean, noise, MIX_SNR_DB)) for name, noise in zip(NOISES, noises, strict=True)]
    return [
        measure(method, condition, reference, noisy, rate)
        for condition, reference, noisy in [*pairs, ("clean", clean, clean)]
        for method in methods_here()
    ]


def mean(scores: Sequence[Score], method: str, conditions: Sequence[str]) -> tuple[float, float]:
    """Return the mean PESQ and SI-SDR of a method over these conditions."""
    chosen = [score for score in scores if score.method == method and score.condition in conditions]
    return float(np.mean([score.pesq for score in chosen])), float(np.mean([score.si_sdr for score in chosen]))


def table(scores: Sequence[Score], title: str) -> Table:
    """Lay out the means: a row a method, a column a noise."""
    columns = {**{name: (name,) for name in NOISES}, "all noises": NOISES, "clean (harm)": ("clean",)}
    result = Table("method", *columns, "speed", title=title, caption="PESQ wideband / SI-SDR in dB; speed against real time")
    for method in dict.fromkeys(score.method for score in scores):
        means = (mean(scores, method, conditions) for conditions in columns.values())
        speed = np.median([score.speed for score in scores if score.method == method])
        cells = [f"{pesq:.2f} / {ratio:.1f}" for pesq, ratio in means]
        result.add_row(method, *cells, "" if method == "noisy input" else f"{speed:.0f}x")
    return result


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, required=True, help="folder of the corpus, with manifest.jsonl")
    parser.add_argument("--part", choices=("dev", "test", "all"), default="test")
    parser.add_argument("--clips", type=int, default=60, help="clean recordings to use")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=int, default=EVALUATION_RATE, help="Hz at which the methods run")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="write every score here")
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print its table."""
    options = arguments()
    clean, voices = choose(options.stamps, options.part, options.clips, options.rate, options.seed)
    work = partial(measure_clip, voices=voices, rate=options.rate, seed=options.seed)
    # Spawned: a forked copy of the models' threads would hang.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        scores = [score for found in pool.map(work, range(len(clean)), clean) for score in found]
    title = f"{len(clean)} clips of {options.part}, {MIX_SNR_DB:.0f} dB, {options.rate} Hz"
    Console(width=140).print(table(scores, title))
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for score in scores], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
