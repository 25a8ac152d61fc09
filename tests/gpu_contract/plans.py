"""Translate every Polars plan that the product would send to a GPU with the real cuDF translator. Run as a program.

The plans are not copied: cleaning runs on generated event files of every kind, with a backend that runs each plan on
the CPU and, on the way, hands its optimised form to cuDF. Translating is not executing: NaN, order and rounding on a
device stay unknown.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import polars as pl

from uicgpu.backends.cpu import CpuBackend
from uicgpu.events.clean import clean_events
from uicgpu.settings import Settings

FILES = 4
"""With one file the streaming executor has one partition and does not say what it cannot partition."""


class TranslatingBackend(CpuBackend):
    """Runs plans on the CPU and notes what cuDF says to each."""

    def __init__(self):
        super().__init__("Plans are translated.", 1, 2**30)
        self.plans = 0
        self.refused = Counter()

    def collect(self, plans):
        from cudf_polars.dsl.translate import Translator

        engine = pl.GPUEngine(executor="in-memory", raise_on_fail=True)
        frames = []
        for plan in plans:
            seen = []

            def ask(nt, duration, seen=seen):
                translator = Translator(nt, engine)
                translator.translate_ir()
                seen.append([f"{type(error).__name__}: {error}" for error in translator.errors])

            frames.append(plan.collect(post_opt_callback=ask))
            assert len(seen) == 1, "the plan was not offered to the engine"
            self.plans += 1
            self.refused.update(line.splitlines()[0] for line in seen[0])
        return frames


def events(number, rows=300):
    """One file of events, with repeats, gaps and rows that cannot be used."""
    ids = range(number * rows, (number + 1) * rows)
    start = 1_700_000_000
    return pl.DataFrame(
        {
            "user_id": [f" u{i % 37}" if i % 41 else None for i in ids],
            "item_id": [f"i{i % 53}" if i % 43 else "" for i in ids],
            "timestamp": [start + 977 * i for i in ids],
            "event_type": [("view", "Purchase ", "cart")[i % 3] for i in ids],
            "quantity": [float(i % 7) - (8 if i % 97 == 0 else 0) for i in ids],
            "category": [("food", "toys", None)[i % 3] for i in ids],
            "title": [f"thing {i % 53}" for i in ids],
            "segment": [("gold", "none")[i % 2] for i in ids],
        }
    )


def times(frame, form):
    seconds = pl.col("timestamp")
    forms = {
        "seconds": seconds,
        "milliseconds": seconds * 1000,
        "text seconds": seconds.cast(pl.String),
        "datetime": pl.from_epoch(seconds, "s"),
        "datetime with zone": pl.from_epoch(seconds, "s").dt.replace_time_zone("UTC"),
        "date": pl.from_epoch(seconds, "s").dt.date(),
        "iso text": pl.from_epoch(seconds, "s").dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "iso text with zone": pl.from_epoch(seconds, "s").dt.strftime("%Y-%m-%d %H:%M:%S+02:00"),
        "date text": pl.from_epoch(seconds, "s").dt.strftime("%Y-%m-%d"),
        "slashes": pl.from_epoch(seconds, "s").dt.strftime("%d/%m/%Y %H:%M"),
        "float seconds": seconds.cast(pl.Float64) + 0.5,
    }
    return frame.with_columns(forms[form].alias("timestamp"))


FORMS = [
    "seconds", "milliseconds", "text seconds", "datetime", "datetime with zone", "date", "iso text",
    "iso text with zone", "date text", "slashes", "float seconds",
]  # fmt: skip


def cases():
    """Name, frames of one run, how they are written, and settings beside the files."""
    frames = [events(number) for number in range(FILES)]
    for form in FORMS:
        yield f"parquet, times: {form}", [times(frame, form) for frame in frames], "parquet", {}
    yield "parquet, mixed times", [times(frame, FORMS[3 * i]) for i, frame in enumerate(frames)], "parquet", {}
    for kind in ("csv", "tsv", "jsonl"):
        yield f"{kind}", frames, kind, {}
    plain = [frame.select("user_id", "item_id") for frame in frames]
    yield "two columns", plain, "parquet", {}
    integers = [
        frame.select(pl.int_range(pl.len()).alias("user_id") % 9, pl.int_range(pl.len()).alias("item_id") % 7)
        for frame in frames
    ]
    yield "integer ids", integers, "parquet", {}
    yield (
        "minimum, pattern and weights",
        frames,
        "parquet",
        {"min_value": 2.0, "item_pattern": "^i[0-9]+$", "kind_weights": {"purchase": 5.0, "view": 1.0}},
    )
    yield "labels", frames, "parquet", {"label_column": "segment"}
    negative = [
        frame.with_columns(
            pl.when(pl.int_range(pl.len()) % 9 == 0)
            .then(-pl.col("quantity"))
            .otherwise(pl.col("quantity"))
            .alias("quantity")
        )
        for frame in frames
    ]
    yield "returns", negative, "parquet", {}
    yield (
        "categoricals",
        [frame.with_columns(pl.col("event_type", "category").cast(pl.Categorical)) for frame in frames],
        "parquet",
        {},
    )


def write(frame, path, kind):
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_csv(path, separator="\t" if kind == "tsv" else ",")


def main():
    result = {}
    for name, frames, kind, more in cases():
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, frame in enumerate(frames):
                paths.append(Path(folder, f"events-{number}.{kind}"))
                write(frame, paths[-1], kind)
            backend = TranslatingBackend()
            Path(folder, "scratch").mkdir()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                settings = Settings(events=tuple(map(str, paths)), **more)
                cleaned = clean_events(settings, backend, Path(folder, "scratch"), lambda line: None)
            told = sorted({str(warning.message) for warning in caught})
        result[name] = {
            "events": cleaned.events.height, "plans": backend.plans, "refused": dict(backend.refused), "warnings": told
        }  # fmt: skip
    return result


EXPECTED = {"categoricals": "dtype=Categorical conversion not supported"}
"""What cuDF refuses as soon as a user's file has it: these plans run on the CPU engine, and the run says so."""


def check_the_check():
    """A plan that cuDF is known to refuse must be seen."""
    backend = TranslatingBackend()
    backend.collect([pl.LazyFrame({"x": ["a"]}).select(pl.col("x").str.normalize("NFC"))])
    assert sum(backend.refused.values()) == 1, "a plan with str.normalize passed"


if __name__ == "__main__":
    check_the_check()
    found, bad = main(), 0
    for name, case in found.items():
        refused = {line: count for line, count in case["refused"].items() if EXPECTED.get(name, "-") not in line}
        bad += bool(refused or case["warnings"] or (name in EXPECTED and not case["refused"]))
        sys.stdout.write(f"{case['plans']} plans, {name}: {json.dumps(case['refused'] or 'all translate')}\n")
        sys.stdout.write("".join(f"  warning: {line}\n" for line in case["warnings"]))
    total = sum(case["plans"] for case in found.values())
    sys.stdout.write(f"{total} plans in {len(found)} cases of {FILES} files; cases with a surprise: {bad}\n")
    sys.exit(bool(bad))
