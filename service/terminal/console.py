"""Where commands write: results to standard output, everything else to standard error."""

from rich.console import Console
from rich.text import Text

from workers.errors import FractuneError
from workers.jobs.job import Failure

output = Console(soft_wrap=True)
messages = Console(stderr=True, soft_wrap=True)


def complain(error: FractuneError | Failure) -> None:
    """Say what went wrong and what helps."""
    place = [str(part) for part in (error.stage, error.layer) if part] if isinstance(error, Failure) else []
    messages.print(
        Text.assemble((error.code, "bold red"), " ", error.message, (f" [{', '.join(place)}]" if place else "", "dim"))
    )
    messages.print(Text(error.hint, "dim"))
