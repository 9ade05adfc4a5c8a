"""`mmdata doctor`: checks that this installation works."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmdata.cli.main import printable


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Check Python, libraries, extras, decoders, torch and the disk; exit status 1 where something that is needed fails.

    Example: mmdata doctor
    """
    from mmdata.validation.installation import Probe, examine

    def line(probe: Probe) -> str:
        mark = "ok" if probe.ok else "FAILS" if probe.required else "-"
        return printable(f"{mark:<6}{probe.name:<26}{probe.detail}".replace("\n", " "))

    probes = []
    for probe in examine(Path.cwd()):
        probes.append(probe)
        if not as_json:
            click.echo(line(probe))
    failed = [probe.name for probe in probes if probe.required and not probe.ok]
    if as_json:
        click.echo(json.dumps({"ok": not failed, "probes": [probe.to_json() for probe in probes]}))
    else:
        click.echo(f"{len(failed)} things that are needed fail: {', '.join(failed)}" if failed else "all that is needed works")
    context.exit(1 if failed else 0)
