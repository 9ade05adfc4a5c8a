"""Plant changed copies of pictures, captions and recordings among the originals, and count which of them `near` finds.

    python -m benchmarks.near_duplicates --stamps DIR [--rows 400] [--seed 0] [--pictures DIR] [--json FILE]
    python -m benchmarks.near_duplicates --sketches 100000

DIR holds the Tux Paint stamps (Debian package `tuxpaint-stamps-default`) and their `manifest.jsonl`. No two originals have the
stamp or the caption in common; each kind of change makes one copy of each. A copy counts as found where it is rejected for its
original, or for another copy of it; a reject for anything else counts against the precision. With `--pictures`, the pictures are
those in another folder. With `--sketches`, it measures instead what the reduction takes for so many random pictures.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import soundfile as sf
from rich.console import Console
from rich.table import Table

from mmdata.errors import RecordError
from mmdata.record import Origin, Record
from mmdata.rng import rng_for
from mmdata.sketch.image import WINDOWS
from mmdata.sketch.near import ImageLikeness, near_repeats
from mmdata.stages.audio import Decode as DecodeAudio
from mmdata.stages.deduplicate import Deduplicate
from mmdata.stages.image_decode import Decode as DecodeImage
from mmdata.values import Audio, Image, Text, Value

Change = Callable[[Value, np.random.Generator], Value]
TASK_ROWS = 256
ORIGINAL = "original"


@dataclass(frozen=True)
class Result:
    """What became of the copies of one kind of change; of the originals, `found` are those rejected for another original."""

    fields: str
    change: str
    copies: int
    found: int
    wrong: int


def encoded_picture(format_: str, quality: int, share: float = 1.0) -> Change:
    """Return the change that scales both sides by a share and encodes the picture with loss."""

    def change(value: Value, _: np.random.Generator) -> Value:
        assert isinstance(value, Image)
        picture = PIL.Image.fromarray(value.pixels)
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        sink = BytesIO()
        picture.resize(size, PIL.Image.Resampling.BICUBIC).save(sink, format_, quality=quality)
        return Image(np.array(PIL.Image.open(sink).convert("RGB")))

    return change


def cropped(share: float) -> Change:
    """Return the change that takes a share off each side's length, at a random place."""

    def change(value: Value, rng: np.random.Generator) -> Value:
        assert isinstance(value, Image)
        height, width = value.pixels.shape[:2]
        lost = round(height * share), round(width * share)
        top, left = (int(rng.integers(0, pixels + 1)) for pixels in lost)
        return Image(value.pixels[top : top + height - lost[0], left : left + width - lost[1]].copy())

    return change


def encoded_sound(format_: str, subtype: str, gain: float = 1.0) -> Change:
    """Return the change that scales the samples and encodes them with loss."""

    def change(value: Value, _: np.random.Generator) -> Value:
        assert isinstance(value, Audio)
        sink = BytesIO()
        sf.write(sink, value.samples.T * gain, value.rate, subtype, format=format_)
        sink.seek(0)
        samples, rate = sf.read(sink, dtype="float32", always_2d=True)
        return Audio(np.ascontiguousarray(samples.T), rate)

    return change


def cut_start(value: Value, rng: np.random.Generator) -> Value:
    """Cut 10 to 200 ms off the start."""
    assert isinstance(value, Audio)
    return Audio(value.samples[:, round(rng.uniform(0.01, 0.2) * value.rate) :].copy(), value.rate)


def delayed(value: Value, rng: np.random.Generator) -> Value:
    """Put 0.1 to 2 s of silence before the sound."""
    assert isinstance(value, Audio)
    return Audio(np.pad(value.samples, ((0, 0), (round(rng.uniform(0.1, 2.0) * value.rate), 0))), value.rate)


def noisy(value: Value, rng: np.random.Generator) -> Value:
    """Add white noise 20 dB below the sound."""
    assert isinstance(value, Audio)
    noise = rng.standard_normal(value.samples.shape) * np.sqrt(np.square(value.samples).mean()) / 10
    return Audio((value.samples + noise).astype(np.float32), value.rate)


def retyped(value: Value, _: np.random.Generator) -> Value:
    """Change the case and the punctuation."""
    assert isinstance(value, Text)
    return Text(value.text.upper().rstrip(".!?") + " !")


def one_letter(value: Value, rng: np.random.Generator) -> Value:
    """Leave out one character."""
    assert isinstance(value, Text)
    place = int(rng.integers(0, len(value.text)))
    return Text(value.text[:place] + value.text[place + 1 :])


def one_word(value: Value, rng: np.random.Generator) -> Value:
    """Leave out one word; of a text of one word, its last character."""
    assert isinstance(value, Text)
    words = value.text.split()
    if len(words) == 1:
        return Text(value.text[:-1])
    del words[int(rng.integers(0, len(words)))]
    return Text(" ".join(words))


CHANGES: Mapping[str, Mapping[str, Change]] = {
    "image": {
        "JPEG, quality 60": encoded_picture("JPEG", 60),
        "WebP, quality 50": encoded_picture("WEBP", 50),
        "half the size": encoded_picture("JPEG", 90, 0.5),
        "0.3 of the size, JPEG 75": encoded_picture("JPEG", 75, 0.3),
        "2 % cropped": cropped(0.02),
        "5 % cropped": cropped(0.05),
        "10 % cropped": cropped(0.10),
    },
    "text": {"case and punctuation": retyped, "one character less": one_letter, "one word less": one_word},
    "audio": {
        "Vorbis": encoded_sound("OGG", "VORBIS"),
        "MP3, 10 dB softer": encoded_sound("MP3", "MPEG_LAYER_III", 0.316),
        "10 to 200 ms cut off": cut_start,
        "0.1 to 2 s later": delayed,
        "noise at 20 dB": noisy,
    },
}


def originals(stamps: Path, rows: int, seed: int, least_characters: int) -> Iterator[dict[str, Value]]:
    """Yield picture, text and sound of one row of each of `rows` stamps, in random order."""
    with (stamps / "manifest.jsonl").open(encoding="utf-8") as manifest:
        lines = [json.loads(line) for line in manifest]
    seen: set[str] = set()
    for place in np.random.default_rng(seed).permutation(len(lines)):
        line = lines[place]
        names = {line["stamp"], line["text"].casefold()}
        if names & seen or len(line["text"]) < least_characters or len(seen) == 2 * rows:
            continue
        try:
            image = DecodeImage().apply(Image((stamps / line["image"]).read_bytes()), rng_for(seed))
            audio = DecodeAudio().apply(Audio((stamps / line["audio"]).read_bytes()), rng_for(seed))
        except (RecordError, OSError):
            continue
        seen |= names
        yield {"image": image, "text": Text(line["text"]), "audio": audio}


def pictures(folder: Path) -> Iterator[Image]:
    """Yield the JPEGs of a folder, by name."""
    for path in sorted(folder.rglob("*.jpg")):
        yield Image(np.array(PIL.Image.open(path).convert("RGB")))


def planted(found: Sequence[Mapping[str, Value]], changes: Mapping[str, Mapping[str, Change]]) -> Iterator[tuple[Record, str]]:
    """Yield the originals, then a copy of each for each change; the group of a record is the number of its original."""
    count = 0
    names = [ORIGINAL, *next(iter(changes.values()))]
    for name in names:
        for number, fields in enumerate(found):
            kept = {field: fields[field] for field in changes}
            if name != ORIGINAL:
                rng = rng_for(0, name, number)
                kept = {field: changes[field][name](value, rng) for field, value in kept.items()}
            yield Record(f"r{count}", kept, Origin(count, f"r{count}", "train", str(number))), name
            count += 1


def measure(found: Sequence[Mapping[str, Value]], changes: Mapping[str, Mapping[str, Change]]) -> tuple[list[Result], float]:
    """Run the fit pass over originals and copies; return a result for each kind of record, and the seconds the reduction took."""
    stage = Deduplicate(method="near", fields=tuple(changes))
    tables, groups, kinds, task = [], [], [], []
    for record, kind in planted(found, changes):
        groups.append(record.origin.group)
        kinds.append(kind)
        task.append(record)
        if len(task) == TASK_ROWS:
            tables.append(stage.observe(task))
            task = []
    observations = pa.concat_tables([*tables, stage.observe(task)])
    start = time.perf_counter()
    learned = stage.reduce(observations)
    seconds = time.perf_counter() - start
    rejects = [json.loads(line) for content in learned.values() for line in content.splitlines()]
    right = Counter(kinds[row] for row, _, kept, _ in rejects if groups[row] == groups[kept])
    wrong = Counter(kinds[row] for row, _, kept, _ in rejects if groups[row] != groups[kept])
    label = " + ".join(changes)
    return [Result(label, kind, kinds.count(kind), right[kind], wrong[kind]) for kind in dict.fromkeys(kinds)], seconds


def together() -> dict[str, dict[str, Change]]:
    """Return one change of all three fields at once."""
    name = "all three changed"
    return {"image": {name: CHANGES["image"]["half the size"]}, "text": {name: retyped}, "audio": {name: delayed}}


def measure_scale(count: int) -> None:
    """Print the time and the memory that the reduction takes for random sketches of pictures, without and with windows."""
    for views in (1, 1 + len(WINDOWS)):
        rng = np.random.default_rng(0)
        sketches = ({"image": b"image:" + rng.integers(0, 2**64, views, dtype=np.uint64).tobytes()} for _ in range(count))
        start = time.process_time()
        found = sum(1 for _ in near_repeats(sketches, {"image": ImageLikeness(7, crops=views > 1)}))
        seconds, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{count} sketches of {views}: {seconds:.1f} s of one core, at most {memory} MiB so far, {found} near another")


def main() -> None:
    """Print a table of recall by kind of change, and the precision by field."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--stamps", type=Path)
    what.add_argument("--sketches", type=int)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least-characters", type=int, default=1, help="of a caption")
    parser.add_argument("--pictures", type=Path, help="folder of JPEGs to take in place of the pictures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.sketches:
        measure_scale(options.sketches)
        return
    found = list(originals(options.stamps, options.rows, options.seed, options.least_characters))
    if options.pictures:
        found = [{**fields, "image": picture} for fields, picture in zip(found, pictures(options.pictures), strict=False)]
    results: list[Result] = []
    table = Table("fields", "change", "copies", "found", "recall", "for another")
    for changes in [*({field: made} for field, made in CHANGES.items()), together()]:
        part, seconds = measure(found, changes)
        results += part
        for one in part:
            recall = "" if one.change == ORIGINAL else f"{one.found / one.copies:.3f}"
            table.add_row(*map(str, (one.fields, one.change, one.copies, one.found)), recall, str(one.wrong))
        right, wrong = (sum(getattr(one, name) for one in part) for name in ("found", "wrong"))
        table.add_row(part[0].fields, f"precision {right / max(1, right + wrong):.4f}", "", f"{seconds:.2f} s", "", str(wrong))
        table.add_section()
    Console(width=130).print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in results], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
