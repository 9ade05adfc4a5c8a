"""Sources list the rows of a raw corpus and read any one of them. The known ones are written out here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmdata.sources.files import Files
from mmdata.sources.manifest import Manifest

AnySource = Annotated[Manifest | Files, Field(discriminator="type")]
