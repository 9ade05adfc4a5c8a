"""`mmdata demo`: the whole job on the embedded demo corpus."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmdata.cli.build import built_text
from mmdata.cli.main import printable
from mmdata.cli.progress import building
from mmdata.cli.train import result_text, training
from mmdata.wording import counted

_EPOCHS = 240  # about a minute on a CPU


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True, help="Folder to work in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, *, as_json: bool) -> None:
    """Build, validate and train on the demo corpus: 48 pictures with captions and recordings, some flawed on purpose.

    It takes about two minutes and writes below the folder that --out names; run again, it goes on from what is there.
    """
    from mmdata.builder import Options, carry_out
    from mmdata.train.config import load_config
    from mmdata.train.loop import train
    from mmdata.validation.checks import validate

    data, run = out / "dataset", out / "run"

    def say(text: str) -> None:
        click.echo(printable(text), err=as_json)

    say(f"1 of 3: building the demo corpus (mmdata build demo {data})")
    with building() as progress:
        outcome = carry_out("demo", data, Options(), progress)
    say(built_text(outcome))
    for reject in outcome.dataset.rejects():
        say(f"    {reject['kind']} in {reject['stage']}: {reject['key']}: {reject['reason']}")

    say(f"2 of 3: checking every promise of the folder (mmdata validate {data})")
    report = validate(data, data / "report")
    found = f"{counted(report.errors, 'problem')} in {counted(report.counts['records'], 'record')}"
    say(f"  {found}; the report: {data / 'report' / 'index.html'}")

    setting = f"epochs={_EPOCHS}"
    say(f"3 of 3: training the smallest model for about a minute (mmdata train nano --set {setting} --data {data} --out {run})")
    with training() as tell:
        result = train(load_config("nano", [setting]), data, run, progress=tell)
    say(result_text(result))
    say(
        f"done. Look at the report in a browser: {(data / 'report' / 'index.html').resolve()}\n"
        f"      at one record: mmdata inspect {data} animals/cat-01\n"
        "      then build your own: mmdata recipes"
    )
    if as_json:
        counts = outcome.dataset.description["counts"]
        told = {"counts": counts, "problems": report.errors, "training": result.to_json()}
        click.echo(json.dumps(told))
    if not report.ok:
        raise click.exceptions.Exit(1)
